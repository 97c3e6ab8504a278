"""Surveillance of our own orders: what counts as a pattern, and who hears of it."""

from __future__ import annotations

from decimal import Decimal
from functools import cache

import pytest

from serve.clock import SECOND
from serve.commands import Alert, Output, SubmitOrder
from serve.engine import Engine
from serve.events import Absent, Cancelled, Event, Filled, OutcomeUnknown, Started, TargetSet
from serve.state import State
from serve.states import RiskState
from tests.serve.breaker_settings import limit
from tests.serve.support import START, opening, quote, started

AT = START + 5 * SECOND


def begun() -> Started:
    """With the lowest limits on each of the three counts."""
    tight = {f"breakers__own_patterns__{name}": limit(0.5, 0) for name in ("pulled", "turned", "crossed")}
    return started(with_model=False, breakers__own_patterns__confirmations=1, **tight)


@cache
def engine() -> Engine:
    return Engine.opened(begun())


def fold(events: list[Event], state: State | None = None) -> tuple[State, list[Output]]:
    state, outputs = engine().initial() if state is None else state, list[Output]()
    for event in events:
        state, more = engine().step(state, event)
        outputs += more
    return state, outputs


def sent(outputs: list[Output]) -> SubmitOrder:
    return [each for each in outputs if isinstance(each, SubmitOrder)][-1]


def fill(order: SubmitOrder, at: int) -> Filled:
    return Filled(at, order.order, f"{order.order}/1", order.units, Decimal(20_000), Decimal(0))


def sold_short(at: int) -> TargetSet:
    return TargetSet(at, "BTC", -9.0, 0.0, 0.0, 1.0, 0.0, 0.0, "ann")


def judged(state: State) -> tuple[RiskState, list[str]]:
    state, outputs = fold([quote(AT + SECOND)], state)
    alerts = [each.text for each in outputs if isinstance(each, Alert)]
    return state.monitors["own_patterns"].level, alerts


def test_an_order_that_is_cancelled_unfilled_is_counted_and_told() -> None:
    state, outputs = fold([begun(), *opening()[1:]])
    state, _ = fold([Cancelled(AT, sent(outputs).order)], state)
    assert state.record.pulled == (AT,)
    level, alerts = judged(state)
    assert level is RiskState.REDUCING
    assert any("1 orders were cancelled without a fill, limit 0.5" in text for text in alerts)


def test_a_fill_that_undoes_the_one_before_is_counted_and_told() -> None:
    state, outputs = fold([begun(), *opening()[1:]])
    state, outputs = fold([fill(sent(outputs), START + 3), sold_short(START + 4)], state)
    assert sent(outputs).units < 0
    assert state.record.turned == ()
    state, _ = fold([fill(sent(outputs), AT)], state)
    assert state.record.turned == (AT,)
    assert judged(state)[0] is RiskState.REDUCING


@pytest.mark.parametrize("again", [False, True])
def test_an_order_against_one_of_ours_that_may_still_come_is_counted(again: bool) -> None:
    """The first order is absent at the venue until it expires; what follows it on the same side crosses nothing."""
    state, outputs = fold([begun(), *opening()[1:]])
    first = sent(outputs)
    lost: list[Event] = [OutcomeUnknown(START + 3, first.order, "timed out"), Absent(START + 4, first.order)]
    state, outputs = fold(lost, state)
    assert sent(outputs).units * first.units > 0
    assert state.record.crossed == ()
    if again:
        state, outputs = fold([fill(sent(outputs), START + 4), sold_short(AT)], state)
        assert state.record.crossed == (AT,)
    assert judged(state)[0] is (RiskState.REDUCING if again else RiskState.ACTIVE)
