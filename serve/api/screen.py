"""How a hedger stands, on a terminal: the dashboard's picture without a browser."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from serve.api.stream import Picture
from serve.api.views import BandView, Snapshot
from serve.clock import SECOND, show

STYLES = {
    "ACTIVE": "bold white on blue",
    "FALLBACK": "bold black on yellow",
    "REDUCING": "bold black on bright_red",
    "HALTED": "bold white on red",
}
UNKNOWN = "bold white on black"
SILENT = 30 * SECOND
TAIL = 10  # lines of what it did
NEAR = 0.5  # share of a limit from which on it is shown


def screen(picture: Picture, now: int) -> Group:
    """`now`: milliseconds since 1970, by the wall."""
    of = picture.snapshot
    lines = [Text(f"{show(line.time)}  {line.text}") for line in picture.story[-TAIL:]]
    return Group(_head(picture, now), _market(of), _exposure(of), _hedges(of), _trouble(of), _profit(of), *lines)


def _head(picture: Picture, now: int) -> Panel:
    of, silent = picture.snapshot, now - picture.grew_at
    said = [of.reason if not picture.fault else picture.fault, f"{show(of.time)} UTC"]
    said += [f"flattening: {of.flattening}"] if of.flattening else []
    said += [f"waiting: {'; '.join(of.waiting)}"] if of.waiting else []
    said += [f"its journal last grew {silent // SECOND} s ago"] if silent > SILENT else []
    name = "UNKNOWN" if picture.fault else of.state
    return Panel(
        Text(" · ".join(each for each in said if each)), title=Text(f" {name} "), style=STYLES.get(name, UNKNOWN)
    )


def _market(of: Snapshot) -> Table:
    rows = (
        (each.name, f"{each.spot:,.2f}", each.weather or "–", f"{each.volatility:.0%}", f"{each.intensity:.1f}")
        for each in of.assets
    )
    return _table(("asset", "spot", "regime", "volatility", "shocks ÷ calm"), rows)


def _exposure(of: Snapshot) -> Table:
    rows = (
        (
            each.name, f"{each.delta:,.3f}", f"{each.target_delta:,.3f}", f"{each.gamma:,.4f}", f"{each.vega:,.0f}",
            f"{each.stress_loss:,.0f}",
        )
        for each in of.assets
    )  # fmt: skip
    return _table(("exposure", "delta", "target", "gamma per 1 %", "vega", "stress loss"), rows)


def _hedges(of: Snapshot) -> Table:
    bands = {band.symbol: band for band in of.bands}
    rows = (
        (each.symbol, f"{each.units:f}", _band(bands.get(each.symbol)), f"{each.mark:,.2f}", f"{each.worth:,.0f}")
        for each in of.positions
    )
    return _table(("leg", "position", "band", "mark", "worth"), rows)


def _band(band: BandView | None) -> str:
    return "–" if band is None else f"{band.lower:,.3f} to {band.upper:,.3f}"


def _trouble(of: Snapshot) -> Table:
    """What a person should look at: breakers that are not quiet, limits that are near, orders, the venue's word."""
    rows = [
        (
            each.name, each.level + (", waits for a person" if each.latched else ""),
            each.reason if each.since is None else f"{each.reason} (since {show(each.since)})",
        )
        for each in of.breakers
        if each.level != "ACTIVE" or each.latched or each.suspicious
    ]  # fmt: skip
    rows += [
        (each.name, f"{min(each.used, 9.99):.0%} of the soft limit", f"{each.headroom:,.2f} left")
        for each in of.limits
        if each.used > NEAR
    ]
    rows += [(f"to {each.account}", f"move {each.amount:,.0f}", each.reason) for each in of.proposals]
    rows += [(each.id, each.status, f"{each.units:f} {each.symbol}, {each.filled:f} filled") for each in of.orders]
    rows += [(f"report of {name}", "disagrees", words) for name, words in of.venue.mismatches.items()]
    return _table(("to look at", "", ""), rows or [("nothing", "", "")])


def _profit(of: Snapshot) -> Text:
    if of.profit.total is None or of.profit.delta_hedge is None:
        return Text("No profit yet.")
    parts = ", ".join(f"{name} {made:+,.0f}" for name, made in of.profit.parts.items())
    return Text(
        f"Profit {of.profit.total:,.0f}; the delta hedge would have made {of.profit.delta_hedge:,.0f}. Of it: {parts}."
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    made = Table(box=None, pad_edge=False, header_style="dim")
    for place, head in enumerate(heads):
        made.add_column(head, justify="left" if place == 0 else "right")
    for row in rows:
        made.add_row(*(Text(each) for each in row))
    return made
