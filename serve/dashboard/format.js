// Words and small pieces of the page.

export const $ = (id) => document.getElementById(id);

export const clock = (ms) => new Date(ms).toISOString().slice(0, 19).replace("T", " ");

export const number = (value, digits = 2) => value === null || value === undefined ? "–"
  : Number(value).toLocaleString("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits });

export const short = (value) => number(value, Math.abs(value) >= 1000 ? 0 : 2);

export const signed = (value) => `${value > 0 ? "+" : ""}${number(value, 0)}`;

export function piece(kind, content, name = "") {
  const made = document.createElement(kind);
  if (content instanceof Node) made.append(content); else made.textContent = content;
  if (name) made.className = name;
  return made;
}

export function table(place, names, rows, none = "Nothing yet.") {
  const made = document.createElement("table"), head = made.createTHead().insertRow();
  names.forEach((name) => head.append(piece("th", name)));
  const body = made.createTBody();
  for (const { cells, bad } of rows) {
    const row = body.insertRow();
    if (bad) row.className = "bad";
    cells.forEach((value) => row.append(piece("td", value)));
  }
  place.replaceChildren(rows.length ? made : piece("p", none));
}

// A number with its name above and what it is measured against below.
export function tile(name, value, below = "") {
  const made = piece("div", "", "tile");
  made.append(piece("small", name), piece("b", value), piece("small", below));
  return made;
}

// A share of something, as a bar with its number: dark from 70 % on, striped beyond the whole.
export function gauge(share) {
  const made = piece("span", "", `gauge${share > 1 ? " over" : share > 0.7 ? " near" : ""}`);
  const bar = piece("i", "");
  bar.style.width = `${Math.min(100, 100 * share)}%`;
  made.append(bar, piece("em", share > 9.99 ? "none left" : `${number(100 * share, 0)} %`));
  return made;
}
