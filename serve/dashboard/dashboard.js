"use strict";

const SILENT = 30_000;   // milliseconds without a word, after which nothing shown is believed
const ARMED = 4_000;     // for which a second tap counts
const COURSE = 5_000;    // between looks at the course
const $ = (id) => document.getElementById(id);

let token = sessionStorage.getItem("token") ?? "";
let picture = null;      // the last one shown
let heardAt = 0;

const headers = () => (token ? { Authorization: `Bearer ${token}` } : {});
const clock = (ms) => new Date(ms).toISOString().slice(0, 19).replace("T", " ");
const number = (value, digits = 2) => value === null || value === undefined ? "–"
  : Number(value).toLocaleString("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits });

const short = (value) => number(value, Math.abs(value) >= 1000 ? 0 : 2);

function notice(text) { $("notice").textContent = text; }

function cell(value, kind = "td") {
  const made = document.createElement(kind);
  if (value instanceof Node) made.append(value); else made.textContent = value;
  return made;
}

function table(place, names, rows, none = "Nothing yet.") {
  const made = document.createElement("table"), head = made.createTHead().insertRow();
  names.forEach((name) => head.append(cell(name, "th")));
  const body = made.createTBody();
  for (const { cells, bad } of rows) {
    const row = body.insertRow();
    if (bad) row.className = "bad";
    cells.forEach((value) => row.append(cell(value)));
  }
  place.replaceChildren(rows.length ? made : cell(none, "p"));
}

function gauge(share) {
  const made = document.createElement("meter");
  Object.assign(made, { min: 0, max: 1, low: 0.7, high: 0.9, optimum: 0, value: Math.min(share, 1) });
  made.title = `${number(100 * share, 0)} % of the soft limit`;
  return made;
}

function banner() {
  const { snapshot, fault, grew_at: grew } = picture;
  const broken = fault || (Date.now() - heardAt > SILENT ? "This page hears nothing from the dashboard's server." : "");
  const silent = Date.now() - grew;
  $("banner").className = broken ? "silent" : snapshot.state;
  $("state").textContent = broken ? "UNKNOWN" : snapshot.state;
  const waits = snapshot.waiting.length ? ` Waiting for the hedger: ${snapshot.waiting.join("; ")}.` : "";
  const still = silent > SILENT ? ` Its journal last grew ${Math.round(silent / 1000)} s ago.` : "";
  const flattening = snapshot.flattening ? ` Flattening: ${snapshot.flattening}.` : "";
  $("reason").textContent = broken || `${snapshot.reason} · ${clock(snapshot.time)} UTC.${flattening}${waits}${still}`;
  document.title = `${$("state").textContent} – Rehedge`;
}

function exposure({ assets, positions }) {
  const bands = new Map(picture.snapshot.bands.map((leg) => [leg.symbol, leg]));
  const place = $("exposure");
  table(place, ["asset", "spot", "delta", "target", "gamma per 1 %", "vega per point", "stress loss", "volatility", "shocks ÷ calm"],
    assets.map((a) => ({ cells: [a.name, number(a.spot), number(a.delta, 3), number(a.target_delta, 3), number(a.gamma, 4),
      number(a.vega, 0), number(a.stress_loss, 0), `${number(100 * a.volatility, 0)} %`, number(a.intensity, 1)] })));
  for (const { symbol, units } of positions) {
    const band = bands.get(symbol);
    if (band) place.append(cell(`${symbol}: position ${number(units, 3)}, band ${number(band.lower, 3)} to ${number(band.upper, 3)}`, "span"), bandOf(Number(units), band));
  }
}

function bandOf(units, { lower, upper }) {
  const low = Math.min(lower, units), high = Math.max(upper, units), room = (high - low) * 0.15 || 1;
  const at = (value) => 100 * (value - low + room) / (high - low + 2 * room);
  const made = document.createElement("div"), inside = document.createElement("i"), mark = document.createElement("b");
  made.className = "band";
  inside.style.cssText = `left:${at(lower)}%; width:${at(upper) - at(lower)}%`;
  mark.style.left = `${at(units)}%`;
  made.append(inside, mark);
  return made;
}

function tables({ positions, orders, limits, breakers, venue, profit }) {
  table($("positions"), ["leg", "units", "mark", "worth", "fees", "funding"], positions.map((p) => ({
    cells: [p.symbol, number(p.units, 4), number(p.mark), number(p.worth, 0), number(p.fees, 0), number(p.funding, 0)] })));
  table($("orders"), ["order in flight", "leg", "units", "filled", "status"], orders.map((o) => ({
    cells: [o.id, o.symbol, o.units, o.filled, o.status] })), "No order is in flight.");
  table($("limits"), ["limit", "low", "high", "soft", "hard", "used"], limits.map((l) => ({ bad: l.used > 1,
    cells: [l.name + (l.overridden ? " (lifted)" : ""), short(l.low), short(l.high), short(l.soft), short(l.hard), gauge(l.used)] })));
  const quiet = breakers.filter((b) => b.level === "ACTIVE" && !b.suspicious && !b.latched);
  table($("breakers"), ["breaker", "state", "reason"], breakers.filter((b) => !quiet.includes(b)).map((b) => ({ bad: true,
    cells: [b.name, b.level + (b.latched ? ", waits for a person" : b.suspicious ? ", in doubt" : ""), b.reason] })), "None has tripped.");
  $("breakers").append(cell(`Quiet: ${quiet.map((b) => b.name).join(", ")}.`, "p"));
  const reports = Object.entries(venue.reports).map(([name, at]) => ({ bad: name in venue.mismatches,
    cells: [`report of ${name}`, clock(at), venue.mismatches[name] ?? "agrees"] }));
  const trips = venue.round_trip_ms === null ? [] : [{ cells: ["round trip, clock apart", `${venue.round_trip_ms} ms`, `${venue.skew_ms} ms`] }];
  const dropped = Object.entries(venue.dropped).map(([kind, count]) => ({ cells: [`${kind} not acted on`, count, ""] }));
  table($("venue"), ["", "", ""], [...reports, ...trips, ...dropped]);
  const ahead = profit.total === null || profit.delta_hedge === null ? "" : `; the delta hedge would have made ${number(profit.delta_hedge, 0)}`;
  $("profit").textContent = `${number(profit.total, 0)} with the book at its mark${ahead}. Fees ${number(profit.fees, 0)}, funding ${number(profit.funding, 0)}.`;
}

function story(lines) {
  $("story").replaceChildren(...lines.slice().reverse().map(({ time, text }) => {
    const made = document.createElement("li"), when = document.createElement("time");
    when.textContent = clock(time);
    made.append(when, text);
    return made;
  }));
}

function show(next) {
  picture = next;
  heardAt = Date.now();
  banner();
  exposure(next.snapshot);
  tables(next.snapshot);
  story(next.story);
}

const LAYOUT = { margin: { l: 55, r: 50, t: 10, b: 30 }, showlegend: true, legend: { orientation: "h", y: 1.15 },
  font: { size: 11 }, paper_bgcolor: "#fff", plot_bgcolor: "#fff" };
const QUIET = { displayModeBar: false, responsive: true };

async function course() {
  const reply = await fetch("/v1/course", { headers: headers() });
  if (!reply.ok) return;
  const { assets, points } = await reply.json(), at = points.map((p) => new Date(p.time));
  Plotly.react("profits", [
    { x: at, y: points.map((p) => p.profit), name: "hedger", line: { color: "#0b5fa5", width: 2.5 } },
    { x: at, y: points.map((p) => p.delta_profit), name: "delta hedge", line: { color: "#000", width: 1.5, dash: "dot" } },
  ], LAYOUT, QUIET);
  const dashes = ["solid", "dash", "dot", "dashdot"];
  Plotly.react("market", assets.flatMap((name, k) => [
    { x: at, y: points.map((p) => p.spot[k]), name: `${name} spot`, line: { color: "#000", dash: dashes[k % 4] } },
    { x: at, y: points.map((p) => 100 * p.volatility[k]), name: `${name} volatility %`, yaxis: "y2", line: { color: "#b04a00", dash: dashes[k % 4] } },
    { x: at, y: points.map((p) => p.intensity[k]), name: `${name} shocks ÷ calm`, yaxis: "y2", line: { color: "#7aa6d1", dash: dashes[(k + 2) % 4] } },
  ]), { ...LAYOUT, yaxis2: { overlaying: "y", side: "right", rangemode: "tozero", showgrid: false } }, QUIET);
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

async function tell(path, action) {
  const why = $("why").value.trim() || `from the dashboard`;
  const reply = await fetch(path, { method: "POST", headers: { ...headers(), "Content-Type": "application/json" },
    body: JSON.stringify({ action, why }) });
  const said = await reply.json();
  const outcome = reply.ok ? said.answer ?? "recorded; the hedger has not taken it yet" : said.detail;
  notice(`${action}: ${typeof outcome === "string" ? outcome : "not understood"}`);
}

function twoTaps(id, path) {
  const button = $(id), name = button.textContent;
  const calm = () => { button.classList.remove("armed"); button.textContent = name; };
  button.addEventListener("click", () => {
    if (!button.classList.contains("armed")) {
      button.classList.add("armed");
      button.textContent = `${name}: tap again`;
      setTimeout(calm, ARMED);
    } else {
      calm();
      tell(path, id).catch(() => notice(`${id}: the server cannot be reached; use \`rehedge ${id}\` on its machine`));
    }
  });
}

["halt", "flatten", "fallback"].forEach((id) => twoTaps(id, "/v1/safer"));
twoTaps("resume", "/v1/freer");
$("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  sessionStorage.setItem("token", token);
  notice("");
  watch();
});
setInterval(() => picture && banner(), 1_000);
setInterval(() => picture && course().catch(() => {}), COURSE);
watch();
setTimeout(() => course().catch(() => {}), 500);
