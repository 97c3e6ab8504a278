"""The verified halt: cancelled until nothing rests, and said only then; what the core cannot take in halts it too."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from serve.clock import SECOND
from serve.commands import Alert, Ask, CancelOrder, Dropped, Output, Quiet, SubmitOrder
from serve.engine import Engine
from serve.events import Acknowledged, Cancelled, Event, Heartbeat, Operator, OrdersReport, PositionsReport
from serve.state import State
from serve.states import RiskState
from tests.serve.books import fold as folded
from tests.serve.support import PERP, START, call, opening, quote, started

AT = START + 5
LATER = AT + 10 * SECOND  # the venue has had its time to answer


@cache
def engine() -> Engine:
    return Engine.opened(started(with_model=False))


def fold(*events: Event, state: State | None = None) -> tuple[State, list[Output]]:
    return folded(engine(), list(events), state)


@cache
def resting() -> tuple[State, str]:
    """A first order that the venue has acknowledged."""
    state, outputs = fold(started(with_model=False), *opening()[1:])
    (order,) = (each for each in outputs if isinstance(each, SubmitOrder))
    return fold(Acknowledged(START + 3, order.order), state=state)[0], order.order


def told(action: str, at: int, subject: str = "") -> Operator:
    return Operator(at, action, "ann", "test", subject)  # type: ignore[arg-type]


def of(outputs: list[Output], *kinds: type[Output]) -> list[Output]:
    return [each for each in outputs if isinstance(each, kinds)]


def test_it_is_quiet_when_our_records_and_the_venue_say_so() -> None:
    before, name = resting()
    state, outputs = fold(told("halt", AT), state=before)
    assert of(outputs, CancelOrder, Ask) == [CancelOrder(AT, name), Ask(AT, "orders")]
    state, outputs = fold(OrdersReport(AT + 1, ()), state=state)
    assert of(outputs, Quiet) == [], "our own record still has it"
    state, outputs = fold(Cancelled(AT + 2, name), state=state)
    assert of(outputs, Quiet) == [Quiet(AT + 2, AT)]
    _, outputs = fold(OrdersReport(AT + 3, ()), Heartbeat(LATER), state=state)
    assert of(outputs, Quiet) == [], "it is said once"


def test_while_the_venue_does_not_answer_it_is_cancelled_and_asked_again() -> None:
    before, name = resting()
    state, _ = fold(told("halt", AT), OrdersReport(AT + 1, (name,)), Cancelled(AT + 2, name), state=before)
    state, outputs = fold(Heartbeat(LATER - 1), state=state)
    assert of(outputs, CancelOrder, Ask) == []
    state, outputs = fold(Heartbeat(LATER), state=state)
    assert of(outputs, CancelOrder, Ask, Quiet) == [CancelOrder(LATER, name), Ask(LATER, "orders")]
    _, outputs = fold(OrdersReport(LATER + 1, ()), state=state)
    assert of(outputs, Quiet) == [Quiet(LATER + 1, AT)]


def test_who_resumes_does_not_wait_for_the_venue() -> None:
    before, _ = resting()
    state, _ = fold(told("halt", AT), told("resume", AT + 1), state=before)
    assert state.halt is None


@pytest.mark.parametrize("stage", ["cancelling", "confirming"])
def test_a_flatten_asks_again_too(stage: str) -> None:
    before, name = resting()
    events: list[Event] = [told("flatten", AT, "close")]
    if stage == "confirming":
        events += [Cancelled(AT + 1, name), OrdersReport(AT + 2, ())]
    state, _ = fold(*events, state=before)
    assert state.flatten is not None
    assert state.flatten.stage == stage
    _, outputs = fold(Heartbeat(LATER + 2), state=state)
    assert of(outputs, CancelOrder) == [CancelOrder(LATER + 2, name)] * (stage == "cancelling")
    asked = {"orders"} if stage == "cancelling" else {"orders", "positions"}
    assert {each.what for each in outputs if isinstance(each, Ask)} == asked


@pytest.mark.parametrize("mode", ["", "close"])
def test_a_halt_ends_a_flatten_that_runs(mode: str) -> None:
    """What it has in flight is cancelled, and nothing more leaves, though to close all had halted already."""
    before, name = resting()
    state, outputs = fold(
        Cancelled(AT - 1, name), told("flatten", AT, mode), OrdersReport(AT + 1, ()), quote(AT + 2), state=before
    )
    if mode == "close":
        assert state.flatten is not None, "there is nothing to close yet"
    state, outputs = fold(told("halt", AT + 3), state=state)
    own = [CancelOrder(AT + 3, order.id) for order in state.reserved]
    assert (state.risk, state.flatten, bool(own)) == (RiskState.HALTED, None, not mode)
    assert of(outputs, CancelOrder, Ask) == [*own, Ask(AT + 3, "orders")]
    gone = [Cancelled(AT + 4, order.order) for order in own]
    state, outputs = fold(*gone, quote(LATER, 19_000.0), OrdersReport(LATER, ()), quote(10 * LATER), state=state)
    assert (of(outputs, SubmitOrder), of(outputs, Quiet)) == ([], [Quiet(LATER, AT + 3)])


def test_what_the_core_cannot_take_in_halts_and_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    before, name = resting()

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError(f"a bug in {object()}")

    with monkeypatch.context() as patched:
        patched.setattr(engine().decider, "acted", broken)
        state, outputs = fold(call(AT, name="call-2"), state=before)
    assert (state.risk, state.book, state.time) == (RiskState.HALTED, before.book, AT)
    assert of(outputs, CancelOrder) == [CancelOrder(AT, name)]
    (dropped,) = of(outputs, Dropped)
    assert (state.dropped, "a bug in" in str(dropped)) == ({"BookTraded": 1}, True), "who told it hears so"
    (alert,) = of(outputs, Alert)
    assert "BookTraded raised ZeroDivisionError: a bug in <object object at 0x…>;" in str(alert)
    gone = Cancelled(AT + 1, name)
    state, _ = fold(gone, told("flatten", AT + 2, "close"), OrdersReport(AT + 3, ()), quote(AT + 4), state=state)
    assert state.flatten is not None
    assert state.flatten.stage == "confirming"
    positions = PositionsReport(AT + 5, AT + 5, ((PERP, Decimal(0)),))
    assert fold(OrdersReport(AT + 5, ()), positions, state=state)[0].flatten is None
