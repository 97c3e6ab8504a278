// What a person tells the hedger: each button takes two taps.

import { $ } from "./format.js";

const ARMED = 4_000; // milliseconds for which a second tap counts
const SAFER = ["halt", "flatten", "fallback"];

let token = sessionStorage.getItem("token") ?? "";

export const headers = () => (token ? { Authorization: `Bearer ${token}` } : {});

export function entered(text) {
  token = text.trim();
  sessionStorage.setItem("token", token);
}

export function notice(text) { $("notice").textContent = text; }

export function twoTaps(button, action, subject = "") {
  const name = button.textContent;
  const calm = () => { button.classList.remove("armed"); button.textContent = name; };
  button.addEventListener("click", () => {
    if (!button.classList.contains("armed")) {
      button.classList.add("armed");
      button.textContent = `${name}: tap again`;
      setTimeout(calm, ARMED);
    } else {
      calm();
      tell(action, subject).catch(() => notice(`${action}: the server cannot be reached; use \`rehedge ${action}\` on its machine`));
    }
  });
  return button;
}

async function tell(action, subject) {
  const why = $("why").value.trim() || "from the dashboard";
  const reply = await fetch(SAFER.includes(action) ? "/v1/safer" : "/v1/freer", {
    method: "POST", headers: { ...headers(), "Content-Type": "application/json" },
    body: JSON.stringify({ action, subject, why }) });
  const said = await reply.json();
  const outcome = reply.ok ? said.answer ?? "recorded; the hedger has not taken it yet" : said.detail;
  notice(`${action} ${subject}: ${typeof outcome === "string" ? outcome : "not understood"}`);
}
