// The page: what it hears, the banner, and what is shown when.

import { $, clock } from "./format.js";
import { market, profits } from "./plots.js";
import { breakers, exposure, hedge, journal, limits, profit, story } from "./tables.js";
import { entered, headers, notice, twoTaps } from "./telling.js";

const SILENT = 30_000;   // milliseconds without a word, after which nothing shown is believed
const COURSE = 5_000;    // between looks at the course
const MEANS = {
  ACTIVE: "the learned policy hedges",
  FALLBACK: "the analytic hedge stands in for the policy",
  REDUCING: "only orders that shrink risk leave",
  HALTED: "nothing leaves but cancels; a person must resume",
  "NOTHING YET": "the hedger has not begun",
  UNKNOWN: "believe nothing on this page",
};

let picture = null;      // the last one shown
let heardAt = 0;

function banner() {
  const { snapshot, fault, grew_at: grew } = picture;
  const broken = fault || (Date.now() - heardAt > SILENT ? "This page hears nothing from the dashboard's server." : "");
  const silent = Date.now() - grew, state = broken ? "UNKNOWN" : snapshot.state;
  $("banner").className = broken ? "silent" : snapshot.state.replace(" ", "-");
  $("state").textContent = state;
  $("means").textContent = MEANS[state];
  const said = [broken || snapshot.reason, `${clock(snapshot.time)} UTC`];
  if (snapshot.flattening) said.push(`flattening: ${snapshot.flattening}`);
  if (snapshot.waiting.length) said.push(`the hedger has not taken yet: ${snapshot.waiting.join("; ")}`);
  if (silent > SILENT) said.push(`its journal last grew ${Math.round(silent / 1000)} s ago`);
  $("reason").textContent = said.filter(Boolean).join(" · ");
  document.title = `${state} – Rehedge`;
}

function show(next) {
  picture = next;
  heardAt = Date.now();
  banner();
  for (const part of [exposure, breakers, limits, hedge, profit]) part(next.snapshot);
  story(next.story);
}

async function asked(path) {
  const reply = await fetch(path, { headers: headers() });
  if (!reply.ok) throw new Error(path);
  return reply.json();
}

async function course() {
  const [since, fills] = await Promise.all([asked("/v1/course"), asked("/v1/fills?last=200")]);
  profits(since.points);
  market(since, fills);
  if ($("tail").open) journal(await asked("/v1/journal?most=40"));
}

async function watch() {
  for (;;) {
    try {
      const reply = await fetch("/v1/stream", { headers: headers() });
      $("entry").hidden = reply.ok;
      if (reply.status === 401 || reply.status === 403) {
        notice((await reply.json()).detail);
        return;
      }
      if (reply.ok) await read(reply.body.getReader());
    } catch { /* the server is away; the banner says so once it has been silent */ }
    await new Promise((done) => setTimeout(done, 1_000));
  }
}

async function read(reader) {
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + decoder.decode(value, { stream: true })).split("\n\n");
    rest = events.pop();
    heardAt = Date.now();
    const bodies = events.map((each) => each.split("\n").find((line) => line.startsWith("data:"))).filter(Boolean);
    if (bodies.length) show(JSON.parse(bodies.at(-1).slice(5)));
  }
}

const later = () => course().catch(() => { /* asked again soon */ });

for (const action of ["halt", "flatten", "fallback", "resume", "rollback"]) twoTaps($(action), action);
$("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  entered($("token").value);
  notice("");
  watch();
  setTimeout(later, 500);
});
$("tail").addEventListener("toggle", later);
setInterval(() => picture && banner(), 1_000);
setInterval(() => picture && later(), COURSE);
watch();
setTimeout(later, 500);
