"""A day of minutes at accelerated time, with everything that goes wrong in one: is the ledger right, is memory flat?

The shipped policy hedges a book of calls and puts that changes every twenty minutes, on 24 hours of BTC with a price
each minute. By a seed: gaps in the feed, ticks that are none, out of order, from the future, told twice or off by half;
a venue that rejects, delays, fills in parts and answers late; and a process that is killed and started again. At
the end the journal is replayed: to where the last life stood, with a ledger that is the sum of its fills. Memory is
what the process holds at full hours of its last life, after a collection. Prints one JSON object as its last line;
exits with 1 where something does not hold: `faults` says what.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import shutil
import sys
import tempfile
import time
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.random import Generator

from agents import card as cards
from envs.costs import Execution
from envs.pricing import black_scholes
from serve.clock import HOUR, SECOND, YEAR, VirtualClock, parse, show
from serve.commands import Decision, Output, SubmitOrder, Transition
from serve.config import ServeConfig
from serve.events import BarClosed, Deleveraged, Event, Filled, FundingPaid
from serve.feed import read_bars
from serve.journal import Journal
from serve.runner import Core, replayed
from serve.session import Source, run
from serve.state import State
from serve.states import RiskState

ROOT = Path(__file__).parents[1]
DAY = "2023-03-10"
MINUTE = 60 * SECOND
MONTH = 720 * HOUR
GROWTH = 0.02  # of memory and of objects within the last life
LOOK = 2 * SECOND  # between looks at the files
BUSY = Execution(participation=0.02, rejection=0.4, delay=0.3, impact=5e-4)
PERP = "BTC-PERP"
HEADER = "time,spot,congestion"


class Killed(BaseException):
    """The process is gone."""


class Pen(VirtualClock):
    """A clock that writes what is due into the files that are followed, and that dies at its hour."""

    def __init__(self, start: int, lines: list[tuple[int, Path, str]], death: int | None) -> None:
        super().__init__(start)
        self._lines, self._death = lines, death

    def wait_until(self, when: int) -> None:
        super().wait_until(max(when, self.now() + LOOK))
        if self._death is not None and self.now() >= self._death:
            raise Killed
        due = 0
        while due < len(self._lines) and self._lines[due][0] <= self.now():
            _, path, line = self._lines[due]
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            due += 1
        del self._lines[:due]


def minutes(first: int, hours: int, rng: Generator) -> list[float]:
    """A price for each minute: a bridge through each bar's open, its extremes and its close."""
    prices: list[float] = []
    bars = {bar.start: bar for bar in read_bars("btc")}
    for hour in range(hours):
        bar = bars[first + hour * HOUR]
        turns = [bar.open, *((bar.low, bar.high) if bar.close >= bar.open else (bar.high, bar.low)), bar.close]
        way = np.interp(np.arange(60) / 59, np.arange(4) / 3, turns)
        noise = np.cumsum(rng.standard_normal(60)) * 2e-4 * bar.open
        noise -= np.linspace(0, noise[-1], 60)
        prices += np.clip(way + noise, bar.low, bar.high).round(2).tolist()
    return prices


def ticks(first: int, prices: list[float], rng: Generator, counts: Counter[str]) -> list[tuple[int, str]]:
    """Lines of the feed by when they come, some of them bad."""
    gaps = [(start, start + int(rng.integers(20, 70))) for start in rng.integers(0, len(prices), 3)]
    lines: list[tuple[int, str]] = []
    for minute, price in enumerate(prices):
        now = first + minute * MINUTE + 5 * SECOND
        if any(start <= minute < end for start, end in gaps):
            counts["feed gaps, minutes"] += 1
            continue
        strain = rng.choice([0.0, 0.0, 0.3, 0.9])
        good = f"{show(now)},{price},{strain}"
        lines.append((now, good))
        if rng.random() < 0.05:
            lines.append((now + SECOND, _bad(now, price, good, rng)))
            counts["bad ticks"] += 1
    return lines


def _bad(now: int, price: float, good: str, rng: Generator) -> str:
    later, before = show(now + MINUTE), show(now - 10 * MINUTE)
    choices = [good, f"{later},nan,0", f"{later},-1,0", "?", "", f"{before},{price},0", f"{show(now + HOUR)},{price},0"]
    half = f"{show(now + 30 * SECOND)},{price * 0.5},0"
    return str(rng.choice([*choices, f"{later},{price},7", half]))


def trades(first: int, prices: list[float], rng: Generator) -> list[tuple[int, str]]:
    """Lines of the book: calls sold first, an option sold or bought every twenty minutes, and lines that are broken."""
    lines = []
    for number, minute in enumerate(range(3, len(prices), 20)):
        right, spot = str(rng.choice(["call"] * 4 + ["put"])), prices[minute]
        units, strike = int(rng.choice([-4, -3, 2, 3])) - 20 * (number == 0), round(spot * rng.uniform(0.95, 1.05))
        holding = {"id": f"deal-{number}", "asset": "BTC", "kind": "option", "units": str(units)}
        holding |= {"expiry": first + MONTH, "right": right, "strike": strike}
        each = [torch.tensor(float(v), dtype=torch.float64) for v in (spot, strike, MONTH / YEAR, 0.6)]
        premium = round(-units * float(black_scholes.price(*each, call=right == "call")), 2)
        line = json.dumps({"type": "BookTraded", "holding": holding, "premium": str(premium)})
        lines.append((first + minute * MINUTE, line))
        if rng.random() < 0.05:
            lines.append((first + minute * MINUTE + SECOND, "{"))
    return lines


@dataclass
class Witness:
    """Hears the journal once more, and adds up what must hold."""

    faults: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    sent: set[str] = field(default_factory=set)
    trades: set[str] = field(default_factory=set)
    position: Decimal = Decimal(0)
    cash: Decimal = Decimal(0)
    state: str = RiskState.ACTIVE.name

    def told(self, event: Event, outputs: tuple[Output, ...]) -> None:
        self.counts[type(event).__name__] += 1
        if isinstance(event, Filled) and event.trade not in self.trades:
            self.trades.add(event.trade)
            self._paid(event.units, event.price, event.fee)
        elif isinstance(event, Deleveraged):
            self._paid(event.units, event.price, Decimal(0))
        elif isinstance(event, FundingPaid):
            self.cash += event.cash
        for each in outputs:
            name = f"decisions by {each.source}" if isinstance(each, Decision) else f"-> {type(each).__name__}"
            self.counts[name] += 1
            if isinstance(each, Transition):
                self.state = each.state
            elif isinstance(each, SubmitOrder):
                self._sent(each)

    def judged(self, state: State) -> None:
        """At the end: the ledger is the sum of the fills, every order found its end, and nobody was called a liar."""
        position, cash = state.ledger.position(PERP), state.ledger.hedge_cash
        if (position, cash) != (self.position, self.cash):
            self.faults.append(f"we hold {position} and {cash}, the fills say {self.position} and {self.cash}")
        if old := [order.id for order in state.reserved if state.time - order.sent_at > HOUR]:
            self.faults.append(f"{', '.join(old)} never found their end")
        if state.risk is RiskState.HALTED:
            self.faults.append(f"halted: {state.strictest()}")

    def _paid(self, units: Decimal, price: Decimal, fee: Decimal) -> None:
        self.position += units
        self.cash -= units * price + fee

    def _sent(self, order: SubmitOrder) -> None:
        if order.order in self.sent:
            self.faults.append(f"{order.order} was sent twice")
        if self.state == RiskState.HALTED.name:
            self.faults.append(f"{order.order} was sent while halted")
        self.sent.add(order.order)


@dataclass
class Scales:
    """What the process holds at each full hour, after a collection."""

    readings: list[tuple[int, float, int]] = field(default_factory=list)  # bar's end, MiB, objects

    def told(self, event: Event, outputs: tuple[Output, ...]) -> None:
        if isinstance(event, BarClosed):
            gc.collect()
            self.readings.append((event.ended, _resident(), len(gc.get_objects())))


def settings(folder: Path) -> ServeConfig:
    """The shipped settings and policy, a busier venue and a book from a file."""
    raw = tomllib.loads((ROOT / "configs" / "paper.toml").read_text(encoding="utf-8"))
    model = folder / "model"
    shutil.copytree(ROOT / raw["model"], model)
    card = cards.read(model)
    hedge = card.task.contract.hedges[0]
    contract = card.task.contract.model_copy(update={"hedges": (hedge.model_copy(update={"execution": BUSY}),)})
    task = card.task.model_copy(update={"contract": contract})
    changed = card.model_copy(update={"task": task, "features_sha256": task.observer().sha256})
    (model / cards.CARD).write_text(changed.model_dump_json(), encoding="utf-8")
    book = {"source": "file", "path": str(folder / "book.jsonl")}
    return ServeConfig.model_validate(
        {**raw, "model": str(model), "book": book, "venue": {"name": "paper", "seed": 1, "latency_seconds": 0.4}}
    )


def lived(folder: Path, seed: int, hours: int, kills: int) -> dict[str, Any]:
    """The day; what it was, and what does not hold of it."""
    rng, first, made, scales = np.random.default_rng(seed), parse(DAY), Counter[str](), Scales()
    prices = minutes(first, hours, rng)
    deaths = [first + int(at) for at in sorted(rng.uniform(0.05, 0.5, kills) * hours * HOUR)]
    feed, deals = ticks(first, prices, rng, made), trades(first, prices, rng)
    config, url, now = settings(folder), str(folder / "j.db"), first
    book = folder / "book.jsonl"
    book.touch()
    core = Core()
    for life, death in enumerate([*deaths, None]):
        ours = folder / f"feed-{life}.csv"
        ours.write_text(HEADER + "\n", encoding="utf-8")
        due = sorted([(at, ours, line) for at, line in feed if at >= now] + [(at, book, line) for at, line in deals])
        pen, journal = Pen(now, due, death), Journal(url)
        source = Source(("btc",), first, 0, follow=ours, clock=pen, stop_at=first + hours * HOUR)
        scales.readings.clear()
        try:
            core = run(config, journal, source, scales.told)
        except Killed:
            made["kills"] += 1
        journal.close()
        deals = [each for each in deals if each[0] > pen.now()]
        now = pen.now() + int(rng.integers(30, 300)) * SECOND
    report = {**_judged(core, url, made), **_memory(scales)}
    (before, after), (least, most) = report["mib"], report["objects"]
    if after - before > GROWTH * before or most - least > GROWTH * least:
        report["faults"].append(f"memory grew from {before} to {after} MiB, objects from {least} to {most}")
    return report


def _judged(core: Core, url: str, made: Counter[str]) -> dict[str, Any]:
    """What the journal says, read once more, against where the last life stood."""
    witness, journal = Witness(), Journal(url, readonly=True)
    again, _ = replayed(journal, witness.told)
    journal.close()
    assert core.state is not None
    assert again.state is not None
    for name in ("ledger", "orders", "monitors", "dropped", "record", "questions_made"):
        if getattr(core.state, name) != getattr(again.state, name):
            witness.faults.append(f"the journal replays to another end: {name}")
    witness.judged(core.state)
    return {
        "faults": witness.faults,
        "state": core.state.risk.name,
        "position": str(witness.position),
        "made": dict(made),
        "counts": dict(witness.counts),
        "dropped": dict(core.state.dropped),
    }


def _memory(scales: Scales) -> dict[str, Any]:
    """Of the last life, from a third of it on: the filters are warm and the first orders made."""
    first, last = scales.readings[len(scales.readings) // 3], scales.readings[-1]
    return {
        "hours": (last[0] - first[0]) // HOUR,
        "mib": (round(first[1], 1), round(last[1], 1)),
        "objects": (first[2], last[2]),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--kills", type=int, default=3)
    given = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        report = lived(Path(folder), given.seed, given.hours, given.kills)
    print(json.dumps({**report, "seconds": round(time.perf_counter() - began, 1)}))
    sys.exit(1 if report["faults"] else 0)


if __name__ == "__main__":
    main()
