// The course since the start.

const LAYOUT = { margin: { l: 55, r: 15, t: 5, b: 40 }, showlegend: true, legend: { orientation: "h", y: 1.12 },
  font: { size: 11 }, paper_bgcolor: "#fff", plot_bgcolor: "#fff" };
const QUIET = { displayModeBar: false, responsive: true };
const DASHES = ["solid", "dash", "dot", "dashdot"];
const STORM = [[0, "#f4f6f8"], [1, "#4d000d"]]; // light to dark: the lightness alone tells

export function profits(points) {
  const at = points.map((p) => new Date(p.time));
  Plotly.react("profits", [
    { x: at, y: points.map((p) => p.profit), name: "hedger", line: { color: "#0b5fa5", width: 2.5 } },
    { x: at, y: points.map((p) => p.delta_profit), name: "delta hedge", line: { color: "#000", width: 1.5, dash: "dot" } },
  ], LAYOUT, QUIET);
}

export function market({ assets, regimes, points }, fills) {
  const at = points.map((p) => new Date(p.time));
  const row = (k, name, pick, rest) => ({ x: at, y: points.map(pick), name, showlegend: assets.length > 1 && rest.yaxis === "y",
    line: { color: rest.color, dash: DASHES[k % 4], width: 1.5 }, ...rest });
  const lines = assets.flatMap((name, k) => [
    row(k, name, (p) => p.spot[k], { color: "#000", yaxis: "y" }),
    row(k, `${name} volatility %`, (p) => 100 * p.volatility[k], { color: "#b04a00", yaxis: "y3" }),
    row(k, `${name} shocks`, (p) => p.intensity[k], { color: "#0b5fa5", yaxis: "y4" }),
  ]);
  const stormy = assets.filter((name) => regimes[name].length);
  const strip = { type: "heatmap", x: at, y: stormy, yaxis: "y2", zmin: 0, zmax: 1, colorscale: STORM, showscale: false,
    z: stormy.map((name) => points.map((p) => wildness(p.regimes[assets.indexOf(name)]))), hovertemplate: "%{z:.0%} of the way from calm to storm<extra></extra>" };
  const axis = (domain, title, more = {}) => ({ domain, title: { text: title, font: { size: 10 } }, ...more });
  Plotly.react("market", [...lines, ...(stormy.length ? [strip] : []), ...trades(fills, points)], { ...LAYOUT,
    xaxis: { anchor: "y4" }, yaxis: axis([0.5, 1], "spot"), yaxis2: axis([0.4, 0.47], "regime", { showticklabels: assets.length > 1, ticks: "" }),
    yaxis3: axis([0.2, 0.37], "vol. %", { rangemode: "tozero" }), yaxis4: axis([0, 0.17], "shocks", { rangemode: "tozero" }) }, QUIET);
}

// Where the filter sees the market between its calmest regime and its wildest, 0 to 1.
const wildness = (chances) => chances.reduce((sum, chance, k) => sum + (chance * k) / (chances.length - 1), 0);

// Up for bought, down for sold; options trade at prices of another kind, and are left out.
function trades(fills, points) {
  const lowest = Math.min(...points.flatMap((p) => p.spot)) / 2, first = points.length ? points[0].time : 0;
  const shown = fills.map((each) => each.record).filter((f) => Number(f.price) > lowest && f.time >= first);
  return [["bought", "triangle-up", 1], ["sold", "triangle-down", -1]].map(([name, symbol, sign]) => {
    const own = shown.filter((f) => sign * Number(f.units) > 0);
    return { x: own.map((f) => new Date(f.time)), y: own.map((f) => Number(f.price)), text: own.map((f) => f.units), name, mode: "markers",
      marker: { symbol, size: 9, color: sign > 0 ? "#0b5fa5" : "#b04a00", line: { color: "#fff", width: 1 } } };
  });
}

