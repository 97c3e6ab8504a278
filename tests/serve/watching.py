"""Views to show breakers, and for each breaker views that breach, that are in between and that are clear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from serve.breaker import Asked, Breaker, Recollection, Trained, View
from serve.clock import SECOND
from serve.config import build_breakers
from serve.events import (
    BarClosed,
    Deleveraged,
    Event,
    Heartbeat,
    Inference,
    JournalStalled,
    PositionsReport,
    SourcePrice,
    VenueTime,
)
from serve.oracle import Price, Rules, Sources, priced
from serve.states import Monitor, judged
from tests.serve.breaker_settings import BREAKERS as RAW
from tests.serve.support import PERP, SPOT, START, quote

BREAKERS = build_breakers(RAW, "test")
MINUTE = 60 * SECOND
CALM = View(
    event=quote(START),
    time=START,
    quotes={"BTC": quote(START)},
    ages={"spot:BTC": 0, "mark:BTC": 0, "funding:BTC": 0, "surface:BTC": 0},
    market_open={"BTC": True},
    prices={"BTC": Price("BTC", SPOT, True, ())},
    volatility={"BTC": 0.6},
    intensity={"BTC": 1.0},
    profit=0.0,
    delta={"BTC": 0.0},
    gamma={"BTC": 0.0},
    vega={"BTC": 0.0},
    stress_loss=0.0,
    margin_distance=None,
    position={"BTC-PERP": 0.0},
    in_flight=0,
    sent=(),
    rejections=(),
    slippages=(),
    executions=(),
    pulled=(),
    turned=(),
    crossed=(),
    skew_ms=None,
    round_trip_ms=None,
    commit_ms=None,
    mismatches={},
    deleveraged={},
    asked=None,
    overdue=False,
    trained=Trained(("a", "b"), (-1.0, 0.0), (1.0, 2.0), 2),
    disagreement=None,
)


def seen(event: Event, **changes: Any) -> View:
    return replace(CALM, event=event, time=event.time, **changes)


def at(time: int, spot: float = SPOT, quoted: Mapping[str, Any] | None = None, **changes: Any) -> View:
    """At a quote of BTC."""
    now = quote(time, spot, **(quoted or {}))
    prices = {"BTC": Price("BTC", spot, True, ())}
    return seen(now, **{"quotes": {"BTC": now}, "prices": prices, **changes})


def silent(time: int, age_seconds: float) -> View:
    return seen(Heartbeat(time), ages={**CALM.ages, "spot:BTC": round(age_seconds * SECOND)})


def bar(time: int, **changes: Any) -> View:
    return seen(BarClosed(time, time), **changes)


def timed(time: int, skew: int = 0, trip: int = 5) -> View:
    return seen(VenueTime(time, skew, trip), skew_ms=skew, round_trip_ms=trip)


def committed(time: int, took: int) -> View:
    return seen(JournalStalled(time, took), commit_ms=took)


def told(time: int, *prices: float, age: int = 0) -> View:
    """At a quote, with independent sources that said `prices`; two of all must count."""
    names = tuple(f"source-{k}" for k in range(len(prices)))
    rules = Rules(stale_seconds=60, deviation=0.01, assets={"BTC": Sources(names=names, quorum=2)})
    said = {name: SourcePrice(time, "BTC", name, price, time - age) for name, price in zip(names, prices, strict=True)}
    return at(time, prices=priced(rules, {"BTC": quote(time)}, {"BTC": said}, time))


def reported(time: int, wrong: str | None) -> View:
    return seen(PositionsReport(time, time, ()), mismatches={"positions": wrong} if wrong else {})


def cut(time: int) -> View:
    return seen(Deleveraged(time, PERP, Decimal(1), Decimal(20_000)), deleveraged={PERP: time})


def answered(time: int, action: tuple[float, ...] | None = (0.1, -0.1), **changes: Any) -> View:
    asked = Asked("q", time, "m", changes.pop("features", (0.0, 1.0)))
    return seen(Inference(time, "q", "m", action, "boom"), asked=asked, **changes)


@dataclass(frozen=True)
class Case:
    """Views at a time that breach, that are in between (None: nothing is), and that are clear."""

    breach: Callable[[int], View]
    between: Callable[[int], View] | None
    clear: Callable[[int], View]
    words: str  # of the reason


CASES = {
    "auto_deleveraging": Case(
        cut, lambda t: at(t, deleveraged={PERP: t - MINUTE}), at, "closed 1 of BTC-PERP at 20000"
    ),
    "clock_step": Case(lambda t: timed(t, -501), lambda t: timed(t, 300), timed, "-501 ms from ours, limit 500"),
    "funding_extreme": Case(
        lambda t: at(t, quoted={"funding_rate": -20.1}),
        lambda t: at(t, quoted={"funding_rate": 15.0}),
        at,
        "funding of BTC is -2010% a year, limit 2000%",
    ),
    "greek_limit": Case(
        lambda t: at(t, delta={"BTC": -15.1}),
        lambda t: at(t, delta={"BTC": 14.0}),
        lambda t: at(t, delta={"BTC": 11.9}),
        "delta is 302,000, limit 300,000",
    ),
    "journal_stall": Case(
        lambda t: committed(t, 2001), lambda t: committed(t, 700), lambda t: committed(t, 3), "took 2001 ms"
    ),
    "latency": Case(
        lambda t: timed(t, trip=1001), lambda t: timed(t, trip=400), timed, "round trip took 1001 ms, limit 1000"
    ),
    "liquidation_cascade": Case(
        lambda t: bar(t, intensity={"BTC": 1001.0}), lambda t: bar(t, intensity={"BTC": 500.0}), bar, "1001.0 times as"
    ),
    "liquidity_collapse": Case(
        lambda t: at(t, quoted={"half_spread": 0.011}),
        lambda t: at(t, quoted={"half_spread": 0.007}),
        at,
        "half-spread of BTC is 1.100%, limit 1.000%",
    ),
    "loss": Case(
        lambda t: at(t, profit=-50_100.0),
        lambda t: at(t, profit=-45_000.0),
        lambda t: at(t, profit=-39_000.0),
        "loss is 50,100, limit 50,000",
    ),
    "margin_distance": Case(
        lambda t: at(t, margin_distance=0.019),
        lambda t: at(t, margin_distance=0.04),
        lambda t: at(t, margin_distance=0.05),
        "a move of 1.9% liquidates, limit 2.0%",
    ),
    "oracle_deviation": Case(
        lambda t: told(t, SPOT * 1.03, SPOT * 1.03),
        lambda t: told(t, SPOT * 1.01, SPOT * 1.01),
        lambda t: told(t, SPOT, SPOT),
        "2.96% from 20,600.00 by 2 of 3 sources .*, limit 2.00%",
    ),
    "order_rate": Case(
        lambda t: at(t, sent=(t,) * 41), lambda t: at(t, sent=(t,) * 30), at, "41 orders left within 60 s, limit 40"
    ),
    "own_patterns": Case(
        lambda t: at(t, turned=(t,) * 201),
        lambda t: at(t, crossed=(t,) * 15),
        at,
        "201 fills undid the fill before, limit 200",
    ),
    "policy_disagreement": Case(
        lambda t: at(t, disagreement=(t, 20.5)),
        lambda t: at(t, disagreement=(t, 15.0)),
        lambda t: at(t, disagreement=(t, 0.0)),
        "2050% of the book from the analytic hedge",
    ),
    "policy_invalid": Case(
        lambda t: answered(t, (float("nan"), 0.0)),
        lambda t: answered(t, features=(1.4, 1.0)),
        answered,
        r"answered nan, outside \[-1, 1\]",
    ),
    "reconciliation_mismatch": Case(
        lambda t: reported(t, "the venue says 1 BTC-PERP, we say 0"), None, lambda t: reported(t, None), "we say 0"
    ),
    "reject_rate": Case(
        lambda t: at(t, sent=(t,) * 10, rejections=(t,) * 10),
        lambda t: at(t, sent=(t,) * 10, rejections=(t,) * 5),
        at,
        "10 of 10 orders were rejected within 600 s, limit 90%",
    ),
    "repeated_execution": Case(
        lambda t: at(t, executions=(t,) * 201), lambda t: at(t, executions=(t,) * 150), at, "201 decisions traded"
    ),
    "slippage": Case(
        lambda t: at(t, slippages=((t, 201.0),) * 3),
        lambda t: at(t, slippages=((t, 150.0),) * 3),
        at,
        "3 fills were 201.0 bp worse than the mark on average, limit 200",
    ),
    "stale_input": Case(
        lambda t: silent(t, 2701), lambda t: silent(t, 2000), lambda t: silent(t, 1499), "spot:BTC is 2701.0 s old"
    ),
    "volatility_spike": Case(
        lambda t: bar(t, volatility={"BTC": 50.5}),
        lambda t: bar(t, volatility={"BTC": 30.0}),
        bar,
        "BTC is 5050% a year",
    ),
}


def shown(breaker: Breaker, views: list[View], monitor: Monitor | None = None) -> Monitor:
    """The monitor after the breaker has judged `views` in turn, from nothing remembered."""
    monitor = Monitor() if monitor is None else monitor
    memory: Recollection = ()
    for view in views:
        finding, memory = breaker.judge(view, memory)
        if finding is not None:
            monitor = judged(monitor, finding, breaker.kind.takes, breaker.settings, view.time)
    return monitor


def fed(name: str, views: list[View]) -> Monitor:
    return shown(BREAKERS[name], views)
