"""Carry trades on real funding: the shipped policy against a threshold rule, the trade always on, and no trade.

Spot against the perpetual: every window of 30 days of the BTC record after the model's calibration, at its recorded
funding; the rules are tuned on the windows before. Perpetual against perpetual: four venues in the second half of four
months of 2025, the rule tuned on the first half; marks of two of the venues are recorded, those of the others are taken
to agree. Whole quarters, or weeks, are resampled. Prints one JSON object as its last line.
"""

from __future__ import annotations

import argparse
import json
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor

from agents import card as cards
from agents import register
from agents.card import Model
from agents.carry import Threshold
from agents.classical.delta import Delta
from agents.learned import Learned
from envs.history import DATA, Array, funding_at, load_bars, load_funding
from envs.objective import Objective
from envs.seeding import generators
from train import carry, history, statistics
from train.carry import Trades
from train.statistics import Resampled

ROOT = Path(__file__).parents[1]
FIRST = "2019-07-10"  # so many bars before the first recorded funding that the filters are warm at it
SHIPPED = Threshold(enter=0.1, leave=0.05, days=7)  # of configs/paper_basis.toml: not tuned
ALWAYS = Threshold(enter=-9.0, leave=-9.0, days=1)
SEED, HOURS = 2026, 8
VENUES, MARKED, HALF = ("binance", "bybit", "hyperliquid", "kraken"), {"binance", "bybit"}, "2025-05-05"
COST = 2 * 5.1e-4  # of entering or of leaving: a taker's fee and the spread on both legs
ENTER, LEAVE, DAYS = (0.02, 0.05, 0.1, 0.2), (-0.05, 0.0, 0.02, 0.05), (1, 3, 7)


def spot_perpetual(model: Model) -> dict[str, Any]:
    observer, objective, funding = model.observer, model.card.task.objective, load_funding("btc")
    delta, band = Delta(), register.made(model.card.opponents.best, model.card.opponents.tuned)
    record = history.later(model.card.task, history.Sources())
    assert record is not None, "the model is calibrated on a record that ships"
    past = carry.trades(observer, objective, earlier(model, funding), [delta])
    later = carry.trades(observer, objective, record, [delta, band, Learned(model.network)])
    rules = {
        "always on": ALWAYS,
        "threshold, as shipped": SHIPPED,
        "threshold, tuned for the measure": carry.tuned(past, funding, objective.value),
        "threshold, tuned for the mean": carry.tuned(past, funding, torch.mean),
    }
    return judged(later, funding, rules, ("delta", band.name, "policy"), objective)


def earlier(model: Model, funding: pd.Series[float]) -> history.Record:
    """All up to the end of the calibration."""
    last = model.card.task.market.settings.assets[0].source.last  # type: ignore[attr-defined]
    bars = load_bars("btc").window(FIRST, last)
    return history.Record((bars,), (funding_at(funding, pd.DatetimeIndex(bars.frame.index), 0.0),))


def judged(
    trades: Trades,
    funding: pd.Series[float],
    rules: dict[str, Threshold],
    hedges: tuple[str, ...],
    objective: Objective,
) -> dict[str, Any]:
    """Every rule with every hedge, and no trade; the last hedge always on less each."""
    columns, rows = {"no trade": torch.zeros(1)}, dict[str, Any]()
    for name, rule in rules.items():
        days = carry.held(rule, funding)
        starts, losses = carry.windows(trades, days)
        share = float(days.loc[starts[0] : starts[-1]].mean())
        for g, hedge in enumerate(hedges):
            columns[f"{name}, {hedge}"] = losses[:, g]
            rows[f"{name}, {hedge}"] = {"held": share}
    columns["no trade"], rows["no trade"] = torch.zeros(len(starts), dtype=torch.float64), {"held": 0.0}
    names, table = list(columns), torch.stack(list(columns.values()), -1)
    (resampling,) = generators(SEED, 1)
    resampled = Resampled(table, resampling, history.quarters(starts))
    means, _, shortfalls = resampled.replicates(0.95)
    replicated, observed = (means + shortfalls) / 2, objective.value(table.T)
    ours = names.index(f"always on, {hedges[-1]}")
    for g, name in enumerate(names):
        summary = statistics.summary(table[:, g])
        kept = {key: 1e4 * summary[key] for key in ("mean", "std", "cvar95", "worst")}
        rows[name] |= {"measure": 1e4 * float(observed[g]), **kept}
        if g != ours:
            rows[name]["policy_less_it"] = {
                "measure": difference(observed[ours] - observed[g], replicated[:, ours] - replicated[:, g]),
                "mean": difference(table[:, ours].mean() - table[:, g].mean(), means[:, ours] - means[:, g]),
            }
    where = f"{len(starts)} windows, {starts[0]:%Y-%m-%d} to {starts[-1]:%Y-%m-%d}, {resampled.count} quarters"
    found = {name: rule.model_dump() for name, rule in rules.items()}
    return {"where": where, "unit": "bp of the notional, losses", "rules": found, "rows": rows}


def difference(observed: Tensor, replicates: Tensor) -> list[float]:
    """Basis points, with the ends of the interval."""
    return [1e4 * each for each in vars(statistics.interval(observed, replicates)).values()]


def perpetual_perpetual() -> dict[str, Any]:
    """Mean gains, % of the notional a year over all pairs, of each rule in the second half."""
    every = [spread(coin, *pair) for coin, pair in product(("BTC", "ETH"), combinations(VENUES, 2))]
    times = every[0].index
    past, after = times < HALF, times >= HALF
    rules = [Threshold(enter=e, leave=out, days=d) for e, out, d in product(ENTER, LEAVE, DAYS) if out <= e]
    best = max(rules, key=lambda rule: np.mean([gains(one, rule)[past].mean() for one in every]))
    steady = [np.sign(one["funding"][past].mean()) for one in every]
    columns = {
        "no trade": np.zeros(after.sum()),
        "always on": np.mean([constant(one[after], side) for one, side in zip(every, steady, strict=True)], 0),
        "threshold": np.mean([gains(one, best)[after] for one in every], 0),
    }
    weeks = torch.tensor((times[after].year * 53 + times[after].isocalendar().week).to_numpy(dtype=np.int64))
    (resampling,) = generators(SEED, 1)
    resampled = Resampled(torch.tensor(np.stack(list(columns.values()), -1)), resampling, weeks)
    means, yearly = resampled.replicates(0.95)[0], 100 * 365 * 24 / HOURS
    rows = {
        name: [yearly * each for each in vars(statistics.interval(torch.tensor(column.mean()), means[:, k])).values()]
        for k, (name, column) in enumerate(columns.items())
    }
    where = f"{len(every)} pairs, {times[after][0]:%Y-%m-%d} to {times[after][-1]:%Y-%m-%d}, {resampled.count} weeks"
    return {"where": where, "unit": "% a year, gains", "rule": best.model_dump(), "rows": rows}


def spread(coin: str, one: str, other: str) -> pd.DataFrame:
    """Every eight hours: what the one's funding paid more than the other's, and how far its mark rose more."""
    paid, closes = _read("funding_multivenue_2025H1", coin), _read("perp_1h_binance_bybit_2025H1", coin)
    rates = (
        paid.pivot(index="time", columns="venue", values="funding_rate")
        .resample(f"{HOURS}h", closed="right", label="right")
        .sum()
    )
    grid = rates.iloc[1:-1]
    moved = pd.Series(0.0, index=grid.index)
    if {one, other} <= MARKED:
        marks = np.log(closes.pivot(index="time", columns="venue", values="close"))
        marks.index += pd.Timedelta(hours=1)  # a close is known at its bar's end
        moved = (marks[one] - marks[other]).reindex(grid.index, method="ffill").diff().fillna(0.0)
    return pd.DataFrame({"funding": grid[one] - grid[other], "moved": moved})


def gains(of: pd.DataFrame, rule: Threshold) -> Array:
    """Of each eight hours, the one venue's perpetual sold where it pays more, and bought where it pays less."""
    yearly = of["funding"] * 365 * 24 / HOURS
    known = yearly.rolling(rule.days * 24 // HOURS).mean().shift(1)
    sides = np.zeros(len(of))
    for side in (1.0, -1.0):
        on = False
        for k, rate in enumerate(side * known):
            on = rule.held(rate, on)
            sides[k] += side * on
    return _earned(of, sides)


def constant(of: pd.DataFrame, side: float) -> Array:
    return _earned(of, np.full(len(of), side))


def _earned(of: pd.DataFrame, sides: Array) -> Array:
    turned = np.abs(np.diff(sides, prepend=0.0))
    turned[-1] += abs(sides[-1])  # sold at the end
    return sides * (of["funding"] - of["moved"]).to_numpy() - COST * turned


def _read(name: str, coin: str) -> pd.DataFrame:
    table = pd.read_csv(DATA / f"{name}.csv.gz")
    return table[table["coin"] == coin].assign(time=lambda each: pd.to_datetime(each["time"]))


def shown(found: dict[str, Any]) -> Table:
    heads = ("mean", "std", "cvar95", "worst", "measure")
    table = Table(title=found["where"], box=box.SIMPLE_HEAD)
    for head in ("strategy", "held", *heads, "policy less it", "its interval"):
        table.add_column(head, justify="right")
    for name, row in found["rows"].items():
        less = row.get("policy_less_it", {}).get("measure")
        ends = ["", ""] if less is None else [f"{less[0]:.0f}", f"{less[1]:.0f} to {less[2]:.0f}"]
        table.add_row(name, f"{row['held']:.0%}", *(f"{row[head]:.0f}" for head in heads), *ends)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "basis_trade")
    torch.set_num_threads(1)
    found = spot_perpetual(cards.load(parser.parse_args().model))
    Console(stderr=True, width=150).print(shown(found))
    print(json.dumps({"spot_perpetual": found, "perpetual_perpetual": perpetual_perpetual()}))


if __name__ == "__main__":
    main()
