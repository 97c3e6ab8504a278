"""The verified flatten, step by step, and that `Flat` is said only when two sources agree."""

from __future__ import annotations

from decimal import Decimal
from functools import cache

import pytest

from serve.clock import SECOND
from serve.commands import Ask, CancelOrder, Decision, Flat, Output, SubmitOrder
from serve.engine import Engine
from serve.events import Cancelled, Event, Filled, Heartbeat, Operator, OrdersReport, PositionsReport
from serve.exposure import net
from serve.state import State
from serve.states import RiskState
from tests.serve.support import PERP, START, opening, quote, started

D = Decimal
SLICES = {"execution__slice_seconds": 60.0, "limits__legs__BTC-PERP__order": {"soft": "3", "hard": "3"}}


@cache
def engine() -> Engine:
    return Engine.opened(started(with_model=False, **SLICES))


def fold(events: list[Event], state: State | None = None) -> tuple[State, list[Output]]:
    state, outputs = engine().initial() if state is None else state, list[Output]()
    for event in events:
        state, more = engine().step(state, event)
        outputs += more
    return state, outputs


def of(kind: type[Output], outputs: list[Output]) -> list[Output]:
    return [output for output in outputs if isinstance(output, kind)]


def fills(outputs: list[Output], at: int) -> list[Event]:
    sent = [each for each in outputs if isinstance(each, SubmitOrder)]
    return [Filled(at, each.order, "1", each.units, D(20_000), D(0)) for each in sent]


def hedged() -> State:
    """A call sold and a first slice of its hedge held."""
    first = started(with_model=False, **SLICES)
    state, outputs = fold([first, *opening()[1:]])
    assert len(of(SubmitOrder, outputs)) == 1
    return fold(fills(outputs, START + 3), state)[0]


def operator(action: str, at: int, subject: str = "") -> Operator:
    return Operator(at, action, "ann", "exercise", subject)  # type: ignore[arg-type]


def worked(state: State, at: int, slices: int = 8) -> tuple[State, int]:
    """Quotes a slice apart, every order filled."""
    for _ in range(slices):
        at += 60_001
        state, outputs = fold([quote(at)], state)
        state, _ = fold(fills(outputs, at), state)
    return state, at


def confirm(state: State, at: int, positions: tuple[tuple[str, Decimal], ...]) -> tuple[State, list[Output]]:
    return fold([OrdersReport(at, ()), PositionsReport(at, at, positions)], state)


def test_it_cancels_first_and_reduces_only_when_nothing_rests() -> None:
    first = started(with_model=False, **SLICES)
    state, outputs = fold([first, *opening()[1:]])
    (order,) = of(SubmitOrder, outputs)
    assert isinstance(order, SubmitOrder)
    state, outputs = fold([operator("flatten", START + 5, "close")], state)
    assert of(CancelOrder, outputs)
    assert Ask(START + 5, "orders") in outputs
    state, outputs = fold([OrdersReport(START + 6, ())], state)
    assert of(SubmitOrder, outputs) == [], "our own record still has it"
    state, outputs = fold([Cancelled(START + 7, order.order), quote(START + 8)], state)
    assert state.flatten is not None
    assert state.flatten.stage in ("reducing", "confirming")


def test_close_unwinds_from_halted_in_slices_that_only_shrink_the_position() -> None:
    state, _ = worked(hedged(), START + 3)
    held = state.ledger.position(PERP)
    assert held > 3
    state, _ = fold([operator("halt", START + 10**6)], state)
    at = START + 10**6 + 1
    state, outputs = fold([operator("flatten", at, "close"), OrdersReport(at + 1, ())], state)
    assert state.risk is RiskState.HALTED
    (order,) = of(SubmitOrder, outputs)
    assert isinstance(order, SubmitOrder)
    assert (order.units, order.reduce_only) == (-3, True)
    state, _ = fold(fills(outputs, at + 2), state)
    state, at = worked(state, at + 2)
    assert state.ledger.position(PERP) == 0
    assert state.flatten is not None
    assert state.flatten.stage == "confirming"
    state, outputs = confirm(state, at + 1, ((PERP, D(3)),))
    assert of(Flat, outputs) == [], "the venue says otherwise"
    state, outputs = confirm(state, at + 2, ((PERP, D(0)),))
    assert of(Flat, outputs) == [Flat(at + 2, "close", ((PERP, D(0)),), at + 2)]
    assert state.flatten is None
    _, outputs = fold([quote(at + 3), Heartbeat(at + 4)], state)
    assert of(SubmitOrder, outputs) == [], "halted until a person resumes"


def test_neutralise_brings_delta_to_nothing_and_hedging_goes_on() -> None:
    state, at = hedged(), START + 10
    state, outputs = fold([operator("flatten", at), OrdersReport(at + 1, ())], state)
    state, _ = fold(fills(outputs, at + 1), state)
    state, at = worked(state, at + 1)
    delta = net(state, state.valuations["BTC"], 0.0).delta
    assert abs(delta) < 0.02
    positions = ((PERP, state.ledger.position(PERP)),)
    state, outputs = confirm(state, at + 1, positions)
    (flat,) = of(Flat, outputs)
    assert isinstance(flat, Flat)
    assert (flat.mode, flat.positions) == ("neutralise", positions)
    assert state.risk is RiskState.FALLBACK


@pytest.mark.parametrize("mode", ["", "close"])
def test_without_a_fresh_price_all_can_be_closed_and_nothing_neutralised(mode: str) -> None:
    """How much goes is known without a price; how much is neutral is not."""
    state, at = worked(hedged(), START + 3)
    state, _ = fold([Heartbeat(at + k * 900 * SECOND) for k in range(1, 6)], state)
    at += 4501 * SECOND
    state, outputs = fold([operator("flatten", at, mode), OrdersReport(at + 1, ())], state)
    assert state.monitors["stale_input"].level is RiskState.REDUCING
    sent = [each.units for each in outputs if isinstance(each, SubmitOrder)]
    assert sent == ([-3] if mode else [])
    _, outputs = fold([quote(at + 2)], state)
    assert bool(of(SubmitOrder, outputs)) is not bool(mode)


def test_a_report_from_before_confirms_nothing() -> None:
    state, at = hedged(), START + 10
    state, _ = fold([operator("flatten", at, "close"), OrdersReport(at + 1, ())], state)
    state, at = worked(state, at + 1)
    old = PositionsReport(at + 1, START, ((PERP, D(0)),))
    _, outputs = fold([OrdersReport(at + 1, ()), old], state)
    assert of(Flat, outputs) == []


@pytest.mark.parametrize(
    "wrong", [operator("flatten", START + 9, "everything"), Operator(START + 9, "halt", " ", "", "")]
)
def test_an_order_that_makes_no_sense_or_names_nobody_is_dropped(wrong: Operator) -> None:
    state, outputs = fold([wrong], hedged())
    assert state.dropped == {"Operator": 1}
    assert state.flatten is None
    assert of(Decision, outputs) == []
