"""Quote in, orders out: how long the live engine takes over a book of 50 options in two assets, on one core.

Each decision is a quote of one asset and the decision that is due with it: filters' views, valuation and stress of the
book, every breaker, the observation, the policy's answer, its bands, the limits, the orders. The clock stops when the
last command of the decision is handed to the venue; the fills that come back are outside. First with a journal that
keeps nothing, then with an SQLite file whose commits are on disk before an order leaves.

Prints one JSON object as its last line: decisions, p50_ms and p99_ms without the disk, the same with it, and orders
sent.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
import tomllib
from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import torch

from envs.calibration import validated
from serve.clock import HOUR, SECOND, VirtualClock
from serve.commands import Ask, CancelOrder, LookUp, SubmitOrder
from serve.config import ServeConfig
from serve.events import (
    BalanceReport,
    BarClosed,
    BookTraded,
    DecisionDue,
    Event,
    Filled,
    Heartbeat,
    History,
    Holding,
    OrdersReport,
    PositionsReport,
    QuoteEvent,
)
from serve.feed import QuoteModel
from serve.journal import Journal
from serve.policy import NetworkPolicies
from serve.promoting import load
from serve.runner import Core, Runner
from serve.session import Basis
from serve.states import RiskState

ROOT = Path(__file__).parents[1]
START = 400_000 * HOUR
SPOTS = {"BTC": 60_000.0, "ETH": 3_000.0}
UNITS = {"BTC": 0.4, "ETH": 8.0}  # of one option, at most
OPTIONS = 50
WARM_UP = 50  # decisions that are not counted


class Nothing:
    """A journal that keeps nothing."""

    def append(self, bodies: Sequence[bytes]) -> None: ...


class Exchange:
    """Fills every order whole at the last spot, when it is asked for the fills."""

    def __init__(self) -> None:
        self.positions, self.cash = dict[str, Decimal](), Decimal(0)
        self.spots = {name: Decimal(repr(spot)) for name, spot in SPOTS.items()}
        self.sent = list[SubmitOrder]()

    def submit(self, order: SubmitOrder) -> tuple[Event, ...]:
        self.sent.append(order)
        return ()

    def fills(self) -> list[Event]:
        orders, self.sent = self.sent, []
        return [self._filled(each, self.spots[each.symbol.removesuffix("-PERP")]) for each in orders]

    def cancel(self, order: CancelOrder) -> tuple[Event, ...]:
        return ()

    def look_up(self, order: LookUp) -> tuple[Event, ...]:
        return ()

    def report(self, question: Ask) -> tuple[Event, ...]:
        now = question.time
        if question.what == "orders":
            return (OrdersReport(now, ()),)
        if question.what == "positions":
            return (PositionsReport(now, now, tuple(self.positions.items())),)
        return (BalanceReport(now, now, self.cash, 0.0),) if question.what == "balance" else ()

    def _filled(self, order: SubmitOrder, price: Decimal) -> Filled:
        self.positions[order.symbol] = self.positions.get(order.symbol, Decimal(0)) + order.units
        self.cash -= order.units * price
        return Filled(order.time, order.order, f"{order.order}/1", order.units, price, Decimal(0))


def book(rng: np.random.Generator) -> list[BookTraded]:
    """Calls and puts of five expiries, around the money, most of them sold."""
    trades = []
    for number in range(OPTIONS):
        asset = ("BTC", "ETH")[number % 2]
        units = Decimal(repr(round(float(rng.uniform(-1, 0.4)) * UNITS[asset], 3))) or Decimal("0.001")
        strike = round(SPOTS[asset] * float(rng.uniform(0.8, 1.25)), 1)
        expiry = START + (4 + 6 * (number % 5)) * 24 * HOUR
        right = "call" if rng.random() < 0.5 else "put"
        held = Holding(f"option-{number}", asset, "option", units, expiry, right, strike)  # type: ignore[arg-type]
        trades.append(BookTraded(START, held, Decimal(0), more=number < OPTIONS - 1))
    return trades


def settings() -> ServeConfig:
    """Of `configs/paper.toml`, for two assets; limits and breakers wide enough for a decision every ten seconds."""
    raw = tomllib.loads((ROOT / "configs/paper.toml").read_text())
    raw["model"] = str(ROOT / "models/multi_asset")
    raw["assets"] = [{"name": name} for name in SPOTS]
    raw["legs"] = [{"symbol": f"{name}-PERP", "lot": "0.001"} for name in SPOTS]
    raw["targets"] = dict.fromkeys(SPOTS, raw["targets"]["BTC"])
    raw["oracle"]["assets"] = dict.fromkeys(SPOTS, raw["oracle"]["assets"]["BTC"])
    limits, wide = raw["limits"], {"soft": "1e6", "hard": "1e6"}
    limits["assets"] = {name: dict.fromkeys(("delta", "gamma", "vega"), wide) for name in SPOTS}
    limits["legs"] = {leg["symbol"]: {"order": wide, "position": wide} for leg in raw["legs"]}
    limits |= {"max_messages": 1000, "stress_loss": {"soft": "1e8", "hard": "1e8"}}
    for name in ("order_rate", "repeated_execution"):
        raw["breakers"][name] |= {"entry": 1e6, "exit": 1e5}
    raw["breakers"]["policy_invalid"] |= {"entry": 1e3, "exit": 1e2}
    raw["breakers"]["policy_disagreement"] |= {"entry": 1e3, "exit": 1e2}
    return validated(ServeConfig, raw, "decision_latency")


class Session:
    """A warm session with the book sold, on `journal`."""

    def __init__(self, config: ServeConfig, journal: Any) -> None:
        model, self.clock = load(Path(str(config.model))), VirtualClock(START)
        self.venue, policies = Exchange(), NetworkPolicies(self.clock, config.clocks.inference_seconds)
        policies.add(model.card.weights_sha256, model.network)
        self.runner = Runner(journal, self.venue, policies, Core())
        self.runner.handle(Basis(model.card.task, model).started(config, START, venue=""))
        market, rng = self.runner.setup.market, np.random.default_rng(1)
        self.models = dict[str, QuoteModel]()
        for name, spot in SPOTS.items():
            steps = 0.005 * rng.standard_normal(config.clocks.warmup_bars + 1)
            closes = tuple((spot * np.exp(np.cumsum(steps) - steps.sum())).tolist())
            self.runner.handle(History(START, name, START, closes))
            self.models[name] = QuoteModel(market, name, closes)
            self.runner.handle(self.models[name].quote(START, spot))
        for trade in book(rng):
            self.runner.handle(trade)
        self.settle()

    def decided(self, quote: QuoteEvent) -> float:
        """Seconds from the quote to the orders of the decision on it; the timers of the hour come before it."""
        if quote.time % HOUR == 0:
            self.runner.handle(BarClosed(quote.time, quote.time))
            self.runner.handle(Heartbeat(quote.time))
        self.clock.wait_until(quote.time)
        self.venue.spots[quote.asset] = Decimal(repr(quote.spot))
        began = time.perf_counter()
        self.runner.handle(quote)
        self.runner.handle(DecisionDue(quote.time))
        return time.perf_counter() - began

    def settle(self) -> None:
        """What the last decision sent is filled, and what follows from the fills is too."""
        while fills := self.venue.fills():
            for fill in fills:
                self.runner.handle(fill)


def quotes(session: Session, count: int) -> list[QuoteEvent]:
    """One every ten seconds, of either asset in turn, on a random walk."""
    rng, spots = np.random.default_rng(2), dict(SPOTS)
    made = []
    for number in range(1, count + 1):
        name = ("BTC", "ETH")[number % 2]
        spots[name] *= math.exp(4e-4 * rng.standard_normal())
        made.append(session.models[name].quote(START + 10 * SECOND * number, spots[name]))
    return made


def timed(config: ServeConfig, journal: Any, decisions: int) -> tuple[list[float], int]:
    """Seconds of each decision, and the orders sent."""
    session, seconds, orders = Session(config, journal), list[float](), 0
    for quote in quotes(session, decisions + WARM_UP):
        seconds.append(session.decided(quote))
        orders += len(session.venue.sent)
        session.settle()
    state = session.runner.state
    assert state.risk is RiskState.ACTIVE, state.strictest()
    return seconds[WARM_UP:], orders


def percentiles(seconds: list[float], suffix: str = "") -> dict[str, float]:
    return {f"p{level}_ms{suffix}": round(1e3 * float(np.percentile(seconds, level)), 3) for level in (50, 99)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--decisions", type=int, default=10_000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    config = settings()
    plain, orders = timed(config, Nothing(), given.decisions)
    with tempfile.TemporaryDirectory() as folder, closing(Journal(f"{folder}/journal.db")) as journal:
        kept, _ = timed(config, journal, given.decisions)
    found = {"decisions": len(plain), **percentiles(plain), **percentiles(kept, "_journal"), "orders": orders}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
