from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from serve import breaker
from serve.breaker import Asked, Breaker, Recollection, Trained, View
from serve.clock import HOUR, SECOND
from serve.config import build_breakers
from serve.events import Event, Heartbeat, Inference, QuoteEvent
from serve.state import State
from serve.states import Finding, Monitor, RiskState, acknowledged, judged
from serve.watch import transitions, watched
from tests.serve.support import CONFIG, SPOT, START, quote

BREAKERS = build_breakers(CONFIG["breakers"], "test")
TRAINED = Trained(("a", "b"), (-1.0, 0.0), (1.0, 2.0), 2)
CALM = View(
    event=quote(START),
    time=START,
    quotes={"BTC": quote(START)},
    ages={"spot:BTC": 0},
    market_open={"BTC": True},
    sources={},
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
    skew_ms=None,
    round_trip_ms=None,
    commit_ms=None,
    mismatch=None,
    deleveraged={},
    asked=None,
    overdue=False,
    trained=TRAINED,
    disagreement=None,
)
MINUTE = 60 * SECOND


def at(time: int, spot: float = SPOT, **changes: Any) -> View:
    seen = quote(time, spot)
    return replace(CALM, event=seen, time=time, quotes={"BTC": seen}, **changes)


def silent(time: int, age_seconds: float) -> View:
    return replace(CALM, event=Heartbeat(time), time=time, ages={"spot:BTC": round(age_seconds * SECOND)})


def answered(time: int, action: tuple[float, ...] | None = (0.1, -0.1), **changes: Any) -> View:
    asked = Asked("q", time, "m", changes.pop("features", (0.0, 1.0)))
    return replace(CALM, event=Inference(time, "q", "m", action, "boom"), asked=asked, **changes)


@dataclass(frozen=True)
class Case:
    """Views at a time that breach, that are in between, and that are clear."""

    breach: Callable[[int], View]
    between: Callable[[int], View]
    clear: Callable[[int], View]
    takes: RiskState
    words: str


CASES = {
    "stale_data": Case(
        lambda t: silent(t, 2701),
        lambda t: silent(t, 2000),
        lambda t: silent(t, 1499),
        RiskState.REDUCING,
        "2701.0 s old",
    ),
    "loss": Case(
        lambda t: at(t, profit=-50_001.0),
        lambda t: at(t, profit=-45_000.0),
        lambda t: at(t, profit=-39_000.0),
        RiskState.REDUCING,
        "loss 50,001 and drawdown 50,001",
    ),
    "greek_limit": Case(
        lambda t: at(t, delta={"BTC": -15.1}),
        lambda t: at(t, delta={"BTC": 14.0}),
        lambda t: at(t, delta={"BTC": 11.9}),
        RiskState.REDUCING,
        "delta is 15.1, limit 15",
    ),
    "policy_invalid": Case(
        lambda t: answered(t, (float("nan"), 0.0)),
        lambda t: answered(t, features=(1.4, 1.0)),
        lambda t: answered(t),
        RiskState.FALLBACK,
        r"answered nan, outside \[-1, 1\]",
    ),
}


def fed(name: str, views: list[View], monitor: Monitor | None = None, memory: Recollection = ()) -> Monitor:
    monitor = Monitor() if monitor is None else monitor
    for view in views:
        finding, memory = BREAKERS[name].judge(view, memory)
        if finding is not None:
            takes, rules = BREAKERS[name].kind.takes, BREAKERS[name].settings
            monitor = judged(monitor, finding, takes, rules, view.event.time)
    return monitor


def trip(name: str, start: int = START) -> Monitor:
    return fed(name, [CASES[name].breach(start), CASES[name].breach(start + MINUTE)])


@pytest.mark.parametrize("name", CASES)
class TestEvery:
    def test_trips_on_confirmation_and_says_why(self, name: str) -> None:
        case = CASES[name]
        assert fed(name, [case.breach(START), case.clear(START + 1), case.breach(START + 2)]).level is RiskState.ACTIVE
        tripped = trip(name)
        assert tripped.level is case.takes
        assert re.search(case.words, tripped.reason)

    def test_holds_between_exit_and_entry(self, name: str) -> None:
        times = [START + k * HOUR for k in range(1, 9)]
        assert fed(name, [CASES[name].between(time) for time in times], trip(name)).level is CASES[name].takes
        assert fed(name, [CASES[name].between(time) for time in times]).level is RiskState.ACTIVE

    def test_recovers_after_its_dwell_a_rung_at_a_time(self, name: str) -> None:
        tripped, levels = trip(name), []
        for k in range(4):
            tripped = fed(name, [CASES[name].clear(START + MINUTE * 2 + k * HOUR)], tripped)
            levels.append(tripped.level)
        rungs = [RiskState(level) for level in range(CASES[name].takes, -1, -1)]
        assert levels == (rungs + [RiskState.ACTIVE] * 4)[:4]

    def test_latches_after_trips_in_an_hour(self, name: str) -> None:
        monitor, rules = Monitor(), BREAKERS[name].settings
        for k in range(rules.latch_trips):
            again = trip(name, START + k * 10 * MINUTE)
            finding = Finding(True, False, again.reason)
            for _ in range(rules.confirmations):
                monitor = judged(monitor, finding, CASES[name].takes, rules, START + k * 10 * MINUTE)
            released = monitor.latched
            monitor = replace(monitor, level=RiskState.ACTIVE)
        assert released
        held = replace(monitor, level=CASES[name].takes)
        later = [CASES[name].clear(START + k * HOUR) for k in range(2, 9)]
        assert fed(name, later, held).level is CASES[name].takes
        assert fed(name, later, acknowledged(held, START + HOUR)).level is RiskState.ACTIVE


class Raising:
    """Some breaker whose judgement fails."""

    def __init__(self, like: Breaker) -> None:
        self.Settings, self.kind, self.settings = like.Settings, like.kind, like.settings

    def judge(self, view: View, memory: Recollection) -> tuple[Finding | None, Recollection]:
        raise ZeroDivisionError("float division by zero")


@pytest.mark.parametrize("name", breaker.names())
def test_one_that_raises_takes_its_class_at_once(name: str, calm_state: State) -> None:
    after = watched(calm_state, {name: Raising(BREAKERS[name])}, CALM)
    assert after.risk is BREAKERS[name].kind.takes
    assert "raised ZeroDivisionError: float division by zero" in after.monitors[name].reason
    assert [type(output).__name__ for output in transitions(calm_state, after)] == ["Transition", "Alert"]


def test_the_folder_is_the_register() -> None:
    assert breaker.names() == ("greek_limit", "loss", "policy_invalid", "price_jump", "stale_data")


class TestStaleData:
    def test_a_quote_from_the_future(self) -> None:
        assert "dated 6.0 s in the future" in fed("stale_data", [silent(START, -6), silent(START + 1, -6)]).reason

    def test_a_feed_that_repeats_itself_is_stale(self) -> None:
        repeated = [replace(at(START + HOUR + k), ages={"spot:BTC": HOUR + k}) for k in range(2)]
        assert fed("stale_data", repeated).level is RiskState.REDUCING

    def test_confirmed_staleness_stays_confirmed(self) -> None:
        tripped = fed("stale_data", [silent(START + k, 2701) for k in range(5)])
        assert (tripped.level, tripped.suspicious, len(tripped.trips)) == (RiskState.REDUCING, False, 1)


class TestPriceJump:
    def test_a_bad_tick_while_reducing_is_doubted_too(self) -> None:
        views = [at(START), *(at(START + k, SPOT * 0.9) for k in (1, 2, 3)), at(START + 4, SPOT * 1.5)]
        tripped = fed("price_jump", views)
        assert (tripped.level, tripped.suspicious, len(tripped.trips)) == (RiskState.REDUCING, True, 1)

    def test_one_bad_tick_clears_itself(self) -> None:
        views = [at(START), at(START + MINUTE, SPOT * 1.5), at(START + 2 * MINUTE), at(START + 3 * MINUTE, SPOT * 1.5)]
        assert fed("price_jump", [*views, at(START + 4 * MINUTE)]).level is RiskState.ACTIVE

    def test_a_jump_that_stays_is_confirmed_once_and_recovers(self) -> None:
        after = [at(START + k * 20 * MINUTE, SPOT * 0.9) for k in range(1, 12)]
        assert fed("price_jump", [at(START), after[0]]).suspicious
        tripped = fed("price_jump", [at(START), *after[:2]])
        assert tripped.level is RiskState.REDUCING
        assert "from 20000.00 to 18000.00 in 2400 s: 10.54%" in tripped.reason
        assert fed("price_jump", [at(START), *after]).level is RiskState.ACTIVE

    def test_sigmas_count_once_the_filter_is_warm(self) -> None:
        moved = [at(START), *(at(START + k * MINUTE, SPOT * 1.05, volatility={"BTC": 0.3}) for k in (1, 2))]
        assert fed("price_jump", moved).level is RiskState.REDUCING
        cold = [replace(view, volatility={}) for view in moved]
        assert fed("price_jump", cold).level is RiskState.ACTIVE

    def test_a_calm_asset_does_not_clear_the_doubt_of_another(self) -> None:
        two = {"market_open": {"BTC": True, "ETH": True}}

        def ether(time: int) -> View:
            return replace(at(time, **two), event=quote(time, 1_000.0, asset="ETH"))

        views = [at(START, **two), ether(START), at(START + 1, SPOT * 1.5, **two), ether(START + 2)]
        assert fed("price_jump", views).suspicious
        assert not fed("price_jump", [*views, at(START + 3, **two)]).suspicious


class TestLoss:
    def test_drawdown_from_the_best_moment(self) -> None:
        views = [at(START, profit=30_000.0), *(at(START + k, profit=-20_001.0) for k in (1, 2))]
        assert "drawdown 50,001" in fed("loss", views).reason


class TestGreekLimit:
    @pytest.mark.parametrize(
        ("change", "words"),
        [({"gamma": {"BTC": 40.0}}, "gamma is 40"), ({"position": {"BTC-PERP": -18.5}}, "position is 18.5")],
    )
    def test_each_limit(self, change: dict[str, Any], words: str) -> None:
        assert words in fed("greek_limit", [at(START + k, **change) for k in range(2)]).reason


class TestPolicyInvalid:
    @pytest.mark.parametrize(
        ("view", "words"),
        [
            (answered(START, (0.0,)), "answered 1 numbers, not 2"),
            (answered(START, (0.0, 1.01)), "answered 1.01, outside"),
            (answered(START, (float("-inf"), 0.0)), "answered -inf"),
            (answered(START, None), "the policy failed: boom"),
            (answered(START, features=(0.0, 2.6)), "feature b is 2.6, 30% of its trained width"),
            (answered(START, features=(float("nan"), 1.0)), "feature a is nan"),
            (
                replace(answered(START), event=Heartbeat(START + 3 * SECOND), overdue=True),
                "no answer to q within 3.0 s",
            ),
        ],
    )
    def test_what_is_no_answer(self, view: View, words: str) -> None:
        assert words in fed("policy_invalid", [view, view]).reason

    def test_other_events_say_nothing(self) -> None:
        others: list[Event] = [Heartbeat(START), QuoteEvent(**vars(quote(START)))]
        for event in others:
            assert BREAKERS["policy_invalid"].judge(replace(CALM, event=event), ())[0] is None
