// The picture as tiles and tables.

import { $, clock, gauge, number, piece, short, signed, table, tile } from "./format.js";
import { twoTaps } from "./telling.js";

const PARTS = { delta: "spot, first order (delta)", gamma: "spot, second order (gamma)", vega: "implied volatility (vega)",
  rest: "time, skew and the rest", spread: "spread and slippage paid", fees: "fees paid", funding: "funding", book: "the desk's own trades" };
const NEAR = 0.7; // share of a limit from which on a person may want to lift it
const buttons = new Map(); // by what they do, so that one that waits for its second tap outlives the next picture

export function exposure({ assets, positions, bands, limits: all }) {
  const place = $("exposure"), used = new Map(all.map((l) => [l.name, l.used]));
  const ofLimit = (name) => (used.has(name) ? `${number(100 * used.get(name), 0)} % of its limit` : "");
  place.replaceChildren(...assets.map((a) => {
    const row = piece("div", "", "tiles");
    row.append(tile(a.name, number(a.spot), `volatility ${number(100 * a.volatility, 0)} %`),
      tile("regime", ...regime(a)),
      tile("net delta", number(a.delta, 3), [`target ${number(a.target_delta, 2)}`, ofLimit(`delta:${a.name}`)].join(", ")),
      tile("gamma per 1 %", number(a.gamma, 4), ofLimit(`gamma:${a.name}`)),
      tile("vega per point", number(a.vega, 0), ofLimit(`vega:${a.name}`)),
      tile("stress loss", number(a.stress_loss, 0), ofLimit("stress_loss")));
    return row;
  }));
  const units = new Map(positions.map((p) => [p.symbol, Number(p.units)]));
  $("bands").replaceChildren(...bands.flatMap((band) => bandOf(units.get(band.symbol), band)));
}

function regime({ regimes, intensity }) {
  const shocks = `shocks ${number(intensity, 1)} × calm`;
  if (!regimes.length) return ["–", shocks];
  const { name, probability } = regimes.reduce((a, b) => (b.probability > a.probability ? b : a));
  return [name, `${number(100 * probability, 0)} % likely, ${shocks}`];
}

function bandOf(units, { symbol, lower, upper }) {
  const low = Math.min(lower, units), high = Math.max(upper, units), room = (high - low) * 0.15 || 1;
  const at = (value) => 100 * (value - low + room) / (high - low + 2 * room);
  const slack = 1e-3 * (upper - lower); // a hedge to the band's edge is rounded to lots
  const where = units < lower - slack ? "below its band" : units > upper + slack ? "above its band" : "within its band";
  const words = piece("p", `${symbol}: ${number(units, 3)} held, ${where} (${number(lower, 3)} to ${number(upper, 3)}).`);
  const made = piece("div", "", "band"), inside = piece("i", ""), mark = piece("b", "");
  inside.style.cssText = `left:${at(lower)}%; width:${at(upper) - at(lower)}%`;
  mark.style.left = `${at(units)}%`;
  made.append(inside, mark);
  return [words, made];
}

export function breakers({ breakers: all, proposals }) {
  const quiet = all.filter((b) => b.level === "ACTIVE" && !b.suspicious && !b.latched), loud = all.filter((b) => !quiet.includes(b));
  const moves = proposals.map((p) => piece("li", `▲ Move ${number(p.amount, 0)} from ${p.source} to ${p.account}: ${p.reason}. `
    + `${p.in_time ? "It would come in time" : "It would come too late, so positions shrink meanwhile"}; then \`rehedge transfer\`.`));
  $("breakers").replaceChildren(...moves, ...loud.map((b) => {
    const line = piece("li", piece("b", `▲ ${b.name}`)), since = b.since === null ? "" : ` since ${clock(b.since)}`;
    line.append(b.level === "ACTIVE" ? " is in doubt: " : ` takes ${b.level}${since}: `, `${b.reason}. `);
    line.append(b.latched ? button("Acknowledge", "acknowledge", b.name) : "It recovers by itself.");
    return line;
  }));
  $("quiet").textContent = `${loud.length ? "The other" : "All"} ${quiet.length} are quiet`;
  $("silent").textContent = quiet.map((b) => b.name).join(", ");
}

export function limits({ limits: all }) {
  table($("limits"), ["limit", "used of soft", "left", "soft", "hard", ""], all.map((l) => ({ bad: l.used > 1,
    cells: [l.name, gauge(l.used), short(l.headroom), short(l.soft), short(l.hard),
      l.overridden ? "lifted" : l.used > NEAR ? button("Lift", "override", l.name) : ""] })));
}

function button(name, action, subject) {
  const key = `${action} ${subject}`;
  if (!buttons.has(key)) buttons.set(key, twoTaps(piece("button", name, "small"), action, subject));
  return buttons.get(key);
}

export function hedge({ positions, orders, venue, time }) {
  table($("positions"), ["leg", "units", "mark", "worth", "fees", "funding"], positions.map((p) => ({
    cells: [p.symbol, number(p.units, 4), number(p.mark), number(p.worth, 0), number(p.fees, 0), number(p.funding, 0)] })));
  table($("orders"), ["order in flight", "leg", "units", "filled", "status"], orders.map((o) => ({
    cells: [o.id, o.symbol, o.units, o.filled, o.status] })), "No order is in flight.");
  const wrong = Object.entries(venue.mismatches), ages = Object.entries(venue.reports).map(([name, at]) => `${name} ${ago(time - at)}`);
  const lines = wrong.map(([name, words]) => piece("p", `▲ The venue's report of ${name} disagrees: ${words}.`, "wrong"));
  if (!wrong.length && ages.length) lines.push(piece("p", `The venue agrees with our records (${ages.join(", ")}).`));
  if (venue.round_trip_ms !== null) lines.push(piece("p", `Round trip ${venue.round_trip_ms} ms, clocks ${venue.skew_ms} ms apart.`));
  const dropped = Object.entries(venue.dropped).map(([kind, count]) => `${count} ${kind}`).join(", ");
  if (dropped) lines.push(piece("p", `Not acted on: ${dropped}.`));
  $("venue").replaceChildren(...lines);
}

const ago = (ms) => ms < 60_000 ? "just now" : ms < 7_200_000 ? `${Math.round(ms / 60_000)} min ago` : `${Math.round(ms / 3_600_000)} h ago`;

export function profit({ profit: of }) {
  if (of.total === null) { $("profit").textContent = "No prices yet."; return; }
  const apart = of.total - of.delta_hedge;
  $("profit").textContent = `${number(of.total, 0)} with the book at its mark: ${number(Math.abs(apart), 0)} ${apart < 0 ? "worse" : "better"} `
    + `than the delta hedge of the same book (${number(of.delta_hedge, 0)}).`
    + (of.challenger_ahead === null ? "" : ` The challenger in shadow is ${signed(of.challenger_ahead)} against us.`);
  table($("parts"), ["where it came from", ""], Object.entries(of.parts).map(([name, made]) => ({ cells: [PARTS[name] ?? name, signed(made)] })));
}

export function story(lines) {
  $("story").replaceChildren(...lines.slice().reverse().map(({ time, text }) => entry(clock(time), text)));
}

export function journal(entries) {
  $("journal").replaceChildren(...entries.slice().reverse().map(({ number: at, body }) => entry(at, JSON.stringify(body))));
}

function entry(when, text) {
  const made = piece("li", piece("time", when));
  made.append(text);
  return made;
}
