"""All breakers at once: whatever they are shown none flaps, none fails of itself, and none leaves the book unhedged."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.breaker import Asked, Breaker, Recollection, View
from serve.clock import HOUR, SECOND
from serve.commands import Alert, Decision, Dropped, SubmitOrder
from serve.config import build_breakers
from serve.engine import Engine
from serve.events import (
    BalanceReport,
    BarClosed,
    Deleveraged,
    Event,
    Heartbeat,
    Inference,
    JournalStalled,
    OrdersReport,
    PositionsReport,
    QuoteEvent,
    VenueTime,
)
from serve.oracle import Price
from serve.state import State
from serve.states import Finding, Monitor, RiskState
from serve.watch import watched
from tests.serve.books import fold
from tests.serve.breaker_settings import BREAKERS as RAW
from tests.serve.support import PERP, SPOT, START, opening, quote
from tests.serve.watching import BREAKERS, CALM, CASES

DWELL = 600
QUOTES = {"BTC": quote(START), "ETH": quote(START, asset="ETH")}
QUICK = build_breakers({name: {**own, "dwell_seconds": DWELL} for name, own in RAW.items()}, "test")

HARMLESS: list[Event] = [
    Heartbeat(START),
    BarClosed(START, START),
    VenueTime(START, 0, 1),
    JournalStalled(START, 1),
    OrdersReport(START, ()),
    PositionsReport(START, START, ()),
    BalanceReport(START, START, Decimal(0), 0.0),
    Deleveraged(START, PERP, Decimal(1), Decimal(1)),
    *(Inference(START, "q", "m", action, "") for action in ((0.0, 0.0), (math.nan,), None)),
]


def wild(random: Random) -> View:
    """Any event with any numbers, of prices those that the edge lets in; half of what may be unknown is."""

    def number() -> float:
        return random.choice([math.nan, math.inf, -math.inf, 0.0, 1e-300, random.gauss(0, 1e5), random.gauss(0, 1)])

    def price() -> float:
        return math.exp(random.uniform(-12, 20))

    def each(of: Callable[[], Any]) -> dict[str, Any]:
        return {name: of() for name in ("BTC", "ETH") if random.random() < 0.7}

    def when() -> int:
        return START + random.randrange(-HOUR, HOUR)

    def asked() -> Asked:
        return Asked("q", when(), "m", (number(), number()))

    event: Event = random.choice(HARMLESS)
    if random.random() < 0.5:
        rates = {"half_spread": random.random() * 0.99, "funding_rate": random.gauss(0, 30), "depth": price()}
        event = quote(START, price(), asset=random.choice(["BTC", "ETH"]), **rates)
    maybe: dict[str, Callable[[], Any]] = {
        "ages": lambda: {name: random.randrange(-HOUR, 100 * HOUR) for name in ("spot:BTC", "mark:ETH", "orders")},
        "market_open": lambda: {"BTC": random.random() < 0.5, "ETH": random.random() < 0.5},
        "volatility": lambda: each(price),
        "intensity": lambda: each(number),
        **dict.fromkeys(("profit", "stress_loss", "margin_distance"), number),
        **dict.fromkeys(
            ("sent", "rejections", "executions"), lambda: tuple(when() for _ in range(random.randrange(300)))
        ),
        "slippages": lambda: tuple((when(), number()) for _ in range(random.randrange(5))),
        **dict.fromkeys(("skew_ms", "round_trip_ms", "commit_ms"), lambda: random.randrange(-5000, 5000)),
        "mismatches": lambda: {random.choice(["orders", "positions", "balance"]): "wrong"},
        "deleveraged": lambda: {PERP: when()},
        "asked": asked,
        "overdue": lambda: True,
        "disagreement": lambda: (when(), number()),
    }
    known = {name: of() for name, of in maybe.items() if random.random() < 0.5}
    quotes = QUOTES | ({event.asset: event} if isinstance(event, QuoteEvent) else {})
    base = replace(CALM, event=event, quotes=quotes, market_open=dict.fromkeys(QUOTES, True))
    prices = {name: Price(name, price(), random.random() < 0.5, ()) for name in quotes}
    return replace(base, prices=prices, delta=each(number), gamma=each(number), vega=each(number), **known)


def moved(view: View, time: int) -> View:
    return replace(view, event=replace(view.event, time=time), time=time)


def changes_of(name: str, states: list[State]) -> list[tuple[int, int]]:
    """When a monitor's level changed, and by how much."""
    levels = [(state.time, state.monitors.get(name, Monitor()).level) for state in states]
    return [(now, b - a) for (_, a), (now, b) in pairwise(levels) if a != b]


def assert_steady(name: str, states: list[State]) -> None:
    """Two rises are a dwell apart and so are two falls: whatever comes, two changes within a dwell at most."""
    for sign in (1, -1):
        when = [time for time, change in changes_of(name, states) if change * sign > 0]
        assert all(b - a >= DWELL * SECOND for a, b in pairwise(when)), (name, when)
    assert all(change >= -1 for _, change in changes_of(name, states)), "down a rung at a time"


def through(start: State, breakers: dict[str, Breaker], views: list[View]) -> list[State]:
    states = [start]
    for view in views:
        states.append(replace(watched(states[-1], breakers, view), time=view.time))
    return states


@pytest.mark.parametrize("seed", range(4))
def test_none_fails_of_itself_or_flaps_whatever_it_is_shown(engine: Engine, seed: int) -> None:
    random, time, views = Random(seed), START, list[View]()
    for _ in range(250):
        time += random.choice([1, 20, 300, 700]) * SECOND
        views.append(moved(wild(random), time))
    states = through(engine.initial(), QUICK, views)
    for name, monitor in states[-1].monitors.items():
        assert "raised" not in monitor.reason
        assert_steady(name, states)


class Fickle:
    """A breaker that fails at every view dated with an odd second."""

    def __init__(self, like: Breaker) -> None:
        self._like = like
        self.Settings, self.kind, self.settings = like.Settings, like.kind, like.settings

    def judge(self, view: View, memory: Recollection) -> tuple[Finding | None, Recollection]:
        if view.time // SECOND % 2:
            raise ValueError("odd")
        return self._like.judge(view, memory)


@given(
    st.sampled_from(sorted(CASES)),
    st.booleans(),
    st.lists(st.tuples(st.integers(1, 400), st.sampled_from(["breach", "between", "clear"])), max_size=60),
)
def test_none_flaps_between_its_breach_and_its_calm(
    engine: Engine, name: str, fickle: bool, steps: list[tuple[int, str]]
) -> None:
    time, views = START, [CASES[name].clear(START - 100 * HOUR)]
    for gap, what in steps:
        time += gap * SECOND
        made = getattr(CASES[name], what) or CASES[name].clear
        views.append(made(time))
    breakers: dict[str, Breaker] = {name: Fickle(QUICK[name]) if fickle else QUICK[name]}
    assert_steady(name, through(engine.initial(), breakers, views))


class Raising:
    def __init__(self, like: Breaker) -> None:
        self.Settings, self.kind, self.settings = like.Settings, like.kind, like.settings

    def judge(self, view: View, memory: Recollection) -> tuple[Finding | None, Recollection]:
        raise KeyError("a bug")


@pytest.mark.parametrize("name", sorted(BREAKERS))
def test_one_that_always_raises_leaves_the_hedge_standing_but_for_integrity(engine: Engine, name: str) -> None:
    broken = Engine(replace(engine.setup, breakers={**BREAKERS, name: Raising(BREAKERS[name])}))
    state, outputs = fold(broken, opening())
    assert any(isinstance(each, Alert) and "raised KeyError" in each.text for each in outputs)
    orders = [each for each in outputs if isinstance(each, SubmitOrder)]
    if BREAKERS[name].kind.takes is RiskState.HALTED:
        assert (state.risk, orders) == (RiskState.HALTED, [])
        return
    decided = next(each for each in outputs if isinstance(each, Decision))
    assert (decided.source, decided.state) == ("fallback", BREAKERS[name].kind.takes.name)
    assert orders[0].units > 0, "a call was sold, so its delta is bought"


def test_a_message_that_was_dropped_is_no_news_to_a_breaker(engine: Engine) -> None:
    bad = [quote(START + 9, spot) for spot in (-1.0, 0.0, math.nan)]
    stranger = quote(START + 9, asset="DOGE")
    state, outputs = fold(engine, [*opening(), *bad, stranger])
    assert sum(isinstance(each, Dropped) for each in outputs) == 4
    assert state.risk is RiskState.ACTIVE
    jump = quote(START + 9, SPOT * 0.9)
    state, _ = fold(engine, [*opening(), jump, *(replace(jump, time=START + 10 + k) for k in range(5))])
    assert state.monitors["price_jump"].suspicious, "a jump that is repeated word for word is not confirmed"


def test_an_unconfirmed_spread_holds_up_no_decision_and_an_unconfirmed_price_does(engine: Engine) -> None:
    wide, jumped = quote(START + 1, half_spread=0.02), quote(START + 2, SPOT * 1.1)
    first = [event for event in opening() if event.time <= START and not isinstance(event, type(wide))]
    sold = opening()[-1]
    for doubtful, decides in ((wide, True), (jumped, False)):
        events = [*first, quote(START + 1, high=SPOT + 1), replace(doubtful, time=START + 2, quoted_at=START + 2)]
        state, _ = fold(engine, [*events, replace(sold, time=START + 3)])
        assert any(monitor.suspicious for monitor in state.monitors.values())
        assert (state.question is not None) is decides
