"""The command `calibrate`: one market from its prices, or two and how they hang together; each with its page."""

from __future__ import annotations

import json as encoding
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import tomli_w
import typer
from rich.console import Console
from rich.table import Table

from envs.calibration import Calibration
from envs.history import Bars, load_bars, load_funding
from envs.markets.garch import GarchMarket
from envs.task import Task
from envs.types import BadInput
from train import calibrate, calibration_report, likeness, pair_report, pairs
from train import contest as rivals
from train.likeness import Progress
from train.pairs import Pair

FIRST, LAST = "2017-07-01", "2022-03-01"  # of one asset
PAIR_BOOK = "multi_asset"
BARS = (
    '"btc", "eth", or a .csv, .csv.gz or .parquet file of bars with columns time (UTC) and close, and open, high, low '
    "and volume where known; twice for a pair. Default: btc."
)

console = Console(stderr=True)


def command(
    out: Annotated[Path, typer.Option(help="Where to write: a calibration, or a pair's task; .toml.")],
    data: Annotated[list[str] | None, typer.Option(help=BARS)] = None,
    funding: Annotated[str, typer.Option(help='"btc", "none", or a file with columns time and funding_mean.')] = "btc",
    first: Annotated[
        str | None, typer.Option(help=f"First bar, UTC. Default: {FIRST}; of a pair, where both begin.")
    ] = None,
    last: Annotated[
        str | None, typer.Option(help=f"Last bar, UTC; none later is seen. {LAST}; of a pair, where one ends.")
    ] = None,
    calibration: Annotated[
        list[Path] | None, typer.Option(help="Of a pair, the first asset's or both; what is not given is fitted.")
    ] = None,
    contest: Annotated[bool, typer.Option("--contest", help="Compare volatility models out of sample too.")] = False,
    report: Annotated[Path | None, typer.Option(help="HTML page, real beside simulated; default: beside OUT.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the diagnostics as JSON.")] = False,
) -> None:
    """Fit a market to real prices, write its numbers, and a page that shows whether to trust them.

    Of two price files: fit both on the time that they share, the second on the first's regimes, and the copula that
    ties them; write a book of a short call on each as a task to train on.

    The same data give the same bytes with one thread (OMP_NUM_THREADS=1); more threads add up in another order.

    Example: rehedge calibrate --data btc --last 2022-03-01 --out runs/btc.toml

    Example: rehedge calibrate --data mine.csv --data yours.csv --out runs/pair.toml
    """
    names, given = data or ["btc"], calibration or []
    _check(len(names), len(given), contest)
    rates = None if funding == "none" else load_funding(funding)
    page = out.with_suffix(".html") if report is None else report
    for path in (out, page):
        path.parent.mkdir(parents=True, exist_ok=True)
    with console.status("reading") as status:
        bars = [load_bars(name) for name in names]
        if len(bars) == 1:
            shown, told = _one(bars[0], rates, (first, last), contest, (out, page), status.update)
        else:
            found = pairs.common((bars[0], bars[1]), first, last)
            shown, told = _two(found, rates, given, (out, page), status.update)
    if json:
        print(encoding.dumps(told))
        return
    for table in shown:
        Console().print(table)
    console.print(f"open {page} to see how far the simulated market resembles the real one")


def _check(records: int, calibrations: int, contest: bool) -> None:
    """Raises BadInput where these many --data and --calibration do not go together."""
    if records > 2:
        raise BadInput(f"--data: {records} given; give one, or two for a pair")
    if calibrations > (records if records == 2 else 0):
        raise BadInput(f"--calibration: {calibrations} given for {records} --data; it goes with a pair, once per asset")
    if contest and records == 2:
        raise BadInput("--contest: compares models of one asset; give --data once")


def task_of(pair: Pair) -> Task:
    """A short call on each asset of the pair, both perpetuals to hedge with, on its market."""
    book, (one, other) = Task.load(PAIR_BOOK), pair.names
    copula = ((1.0, pair.copula), (pair.copula, 1.0))
    settings = GarchMarket.Settings(assets=pair.calibrations, correlation=copula)
    market = book.market.model_copy(update={"settings": settings})
    return book.model_copy(update={"market": market, "about": book.about.replace("BTC and ETH", f"{one} and {other}")})


def as_toml(task: Task) -> str:
    """The text of a task file, its calibrations spelled out."""
    return tomli_w.dumps(task.model_dump(mode="json", exclude_none=True))


def _one(
    bars: Bars,
    rates: pd.Series[float] | None,
    window: tuple[str | None, str | None],
    contest: bool,
    to: tuple[Path, Path],
    tell: Progress,
) -> tuple[list[Table], dict[str, Any]]:
    """Writes the calibration and its page; returns what to print."""
    out, page = to
    first, last = (usual if given is None else given for given, usual in zip(window, (FIRST, LAST), strict=True))
    made, diagnostics = calibrate.calibrate(bars, rates, first, last, tell)
    made.save(out)
    seen = bars.window(first, last)
    entries = rivals.contest(seen, tell) if contest else ()
    found = likeness.judged(made, seen, rates, tell)
    page.write_text(calibration_report.page(found, entries), encoding="utf-8")
    tables = [calibrate.table(diagnostics, out), *([rivals.table(entries)] if entries else [])]
    return tables, {**asdict(diagnostics), "contest": [asdict(entry) for entry in entries]}


def _two(
    bars: tuple[Bars, Bars],
    rates: pd.Series[float] | None,
    given: list[Path],
    to: tuple[Path, Path],
    tell: Progress,
) -> tuple[list[Table], dict[str, Any]]:
    """Writes the pair's task and its page; returns what to print."""
    out, page = to
    made = [Calibration.load(path) for path in given]
    for each in bars[len(made) :]:
        made.append(_fitted(each, rates, made[0] if made else None, tell))
    pair = pairs.judged((made[0], made[1]), bars, tell)
    out.write_text(as_toml(task_of(pair)), encoding="utf-8")
    page.write_text(pair_report.page(pair), encoding="utf-8")
    targets = [{**asdict(target), "inside": bool(target.inside)} for target in pair.targets]
    return [_pair_table(pair, out)], {"copula": pair.copula, "bars": len(pair.real), "targets": targets}


def _fitted(bars: Bars, rates: pd.Series[float] | None, like: Calibration | None, tell: Progress) -> Calibration:
    first, last = (bars.frame.index[k].isoformat() for k in (0, -1))
    return calibrate.calibrate(bars, rates, first, last, lambda stage: tell(f"{bars.name}: {stage}"), like)[0]


def _pair_table(pair: Pair, out: Path) -> Table:
    table = Table(
        "", "real", "95 % interval", "simulated", "", title=f"written to {out}", caption=pair_report.headline(pair)
    )
    for each in pair.targets:
        interval = f"{each.low:.3f} to {each.high:.3f}"
        verdict = "inside" if each.inside else "OUTSIDE"
        table.add_row(each.name, f"{each.real:.3f}", interval, f"{each.simulated:.3f}", verdict)
    return table
