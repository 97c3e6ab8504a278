"""Orders whose outcome is unknown, late or told twice: looked up, never sent again, booked once."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from serve.clock import SECOND
from serve.commands import Alert, Ask, CancelOrder, LookUp, SubmitOrder
from serve.events import Absent, Acknowledged, Heartbeat, Operator
from serve.orders import Status
from serve.states import RiskState
from tests.serve.support import PERP, START, opening, started
from tests.serve.test_engine import filled, fold, of, reply, usual


def test_an_unknown_outcome_is_looked_up_and_never_sent_again() -> None:
    quiet = [Heartbeat(START + k * 11 * SECOND) for k in range(1, 4)]
    state, outputs = fold([*opening(), reply(), *quiet])
    assert [type(output) for output in of(LookUp, outputs)] == [LookUp] * 3
    assert len(of(SubmitOrder, outputs)) == 1
    assert state.in_flight[0].status is Status.UNKNOWN
    state, outputs = fold([*opening(), reply(), *quiet, Absent(START + 40 * SECOND, "test-000001")])
    assert state.orders["test-000001"].status is Status.LOST
    assert state.question is not None, "the hedge is decided anew, under a new request"


def test_of_an_outcome_that_never_becomes_known_people_hear_once() -> None:
    """Its asset's hedge waits for it; once it is known the hedge goes on, and the state with it."""
    quiet = [Heartbeat(START + k * 11 * SECOND) for k in range(1, 10)]
    state, outputs = fold([*opening(), reply(), *quiet[:5]])
    assert (state.risk, of(Alert, outputs)) == (RiskState.ACTIVE, []), "it expired after the second look-up"
    state, outputs = fold([*opening(), reply(), *quiet])
    (alert,) = of(Alert, outputs)
    assert "order test-000001 expired, 3 look-ups did not tell its outcome" in str(alert)
    assert (state.risk, len(of(LookUp, outputs))) == (RiskState.REDUCING, 9)
    works = [each for k in range(1, 10) for each in (quiet[k - 1], Acknowledged(quiet[k - 1].time, "test-000001"))]
    assert fold([*opening(), reply(), *works[:-1], Heartbeat(START + 100 * SECOND)])[0].risk is RiskState.ACTIVE
    for known in (Absent(START + 100 * SECOND, "test-000001"), Acknowledged(START + 100 * SECOND, "test-000001")):
        state, _ = fold([*opening(), reply(), *quiet, known])
        assert state.risk is RiskState.ACTIVE


def test_an_order_that_turns_up_after_it_was_absent_is_cancelled() -> None:
    """Both outcomes are reserved until it expires, and what it was to do is decided anew meanwhile."""
    quiet = [Heartbeat(START + 11 * SECOND), Absent(START + 12 * SECOND, "test-000001")]
    state, outputs = fold([*opening(), reply(), *quiet])
    assert state.orders["test-000001"].status is Status.ABSENT
    assert state.question is not None, "the residual is hedged meanwhile"
    position = usual().setup.limited.position(state, PERP)
    assert (position.low, position.high) == (0, state.orders["test-000001"].units)
    _, outputs = fold([*opening(), reply(), *quiet, Acknowledged(START + 13 * SECOND, "test-000001")])
    assert of(CancelOrder, outputs) == [CancelOrder(START + 13 * SECOND, "test-000001")]


def test_an_order_that_turns_up_while_halted_is_cancelled() -> None:
    """The halt's own cancel came before the venue had the order; a part that filled leaves a rest to cancel too."""
    halt = Operator(START + 4, "halt", "ann", "stop", "")
    state, outputs = fold([*opening(), reply(), halt])
    assert of(CancelOrder, outputs) == [CancelOrder(START + 4, "test-000001")]
    whole = filled(outputs, START + 5)
    part = replace(whole[1], units=Decimal("0.5"))
    for late in (whole[:1], [part]):
        state, outputs = fold([*opening(), reply(), halt, *late])
        assert of(CancelOrder, outputs)[1:] == [CancelOrder(START + 5, "test-000001")]
        assert state.risk is RiskState.HALTED
    _, outputs = fold([*opening(), reply(), halt, whole[1]])
    assert len(of(CancelOrder, outputs)) == 1, "nothing of it is left"
    _, outputs = fold([*opening(), reply(), halt, started(START + 6), Acknowledged(START + 7, "test-000001")])
    assert of(CancelOrder, outputs)[1:] == [CancelOrder(START + 7, "test-000001")], "after a restart too"


def test_a_restart_leaves_orders_in_flight_unknown() -> None:
    state, outputs = fold([*opening(), reply(), started(START + 4)])
    assert [type(output) for output in outputs[-5:]] == [LookUp, Ask, Ask, Ask, Ask]
    assert state.in_flight[0].status is Status.UNKNOWN


def test_fills_are_booked_once_even_where_they_cannot_be() -> None:
    _, outputs = fold([*opening(), reply()])
    fills = filled(outputs)
    state, _ = fold([*opening(), reply(), *fills, fills[1]])
    assert state.risk is RiskState.ACTIVE
    over = replace(fills[1], trade="u")
    again, _ = fold([*opening(), reply(), *fills, over, over])
    assert again.ledger.position(PERP) == 2 * state.ledger.position(PERP)
    assert again.risk is RiskState.HALTED
