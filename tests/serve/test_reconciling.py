"""Our records against the venue's: at the start, and ever after."""

from __future__ import annotations

from decimal import Decimal
from functools import cache

import pytest

from serve.clock import SECOND
from serve.commands import Ask, CancelOrder, Decision, Output, SubmitOrder
from serve.engine import Engine
from serve.events import (
    BalanceReport,
    Cancelled,
    DecisionDue,
    Event,
    Filled,
    Heartbeat,
    OrdersReport,
    PositionsReport,
    VenueTime,
)
from serve.reconciling import mismatch
from serve.state import State
from serve.states import RiskState
from tests.serve.support import HOUR, PERP, START, call, history, opening, quote, reports, started

D = Decimal


@cache
def engine() -> Engine:
    return Engine.opened(started(with_model=False))


def fold(events: list[Event], state: State | None = None) -> tuple[State, list[Output]]:
    state, outputs = engine().initial() if state is None else state, list[Output]()
    for event in events:
        state, more = engine().step(state, event)
        outputs += more
    return state, outputs


def hedged() -> State:
    state, outputs = fold([started(with_model=False), *opening()[1:]])
    (order,) = (each for each in outputs if isinstance(each, SubmitOrder))
    return fold([Filled(START + 3, order.order, "1", order.units, D(20_000), D(2))], state)[0]


def positions(at: int, units: Decimal | None, as_of: int | None = None) -> PositionsReport:
    return PositionsReport(at, at if as_of is None else as_of, () if units is None else ((PERP, units),))


def test_the_start_asks_for_everything_and_waits_for_it() -> None:
    state, outputs = fold([started(with_model=False)])
    assert [each.what for each in outputs if isinstance(each, Ask)] == ["orders", "positions", "balance", "time"]
    silent = [history(), quote(START + 1), call(START + 2)]
    waiting, outputs = fold(silent, state)
    assert not [each for each in outputs if isinstance(each, SubmitOrder)]
    _, outputs = fold(reports(START + 3), waiting)
    assert [each for each in outputs if isinstance(each, SubmitOrder)]


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (OrdersReport(START, ("someone-7",)), "someone-7 rests on the account and is not ours"),
        (OrdersReport(START, ("test-000009",)), "bears our name and is not in our records"),
        (positions(START, D(3)), "the venue says 3 BTC-PERP, we say 0"),
    ],
)
def test_a_start_that_does_not_agree_is_refused(report: Event, words: str) -> None:
    state, _ = fold([started(with_model=False), report])
    assert state.risk is RiskState.HALTED
    assert words in state.strictest()
    assert state.venue.awaited
    assert words in str(mismatch(state.venue))


@pytest.mark.parametrize(
    ("units", "as_of", "words"),
    [
        (None, START + 9, "leave out BTC-PERP"),
        (D(1), START + 9, "the venue says 1 BTC-PERP"),
        (D(1), START + 3, None),  # as old as the last fill: it proves nothing
    ],
)
def test_positions_are_compared_as_of_their_own_time(units: Decimal | None, as_of: int, words: str | None) -> None:
    state, _ = fold([positions(START + 9, units, as_of)], hedged())
    found = mismatch(state.venue)
    assert (found is None) == (words is None)
    assert words is None or (found is not None and words in found)


@pytest.mark.parametrize(
    ("beside", "explained"),
    [
        ({"OLD": 7}, True),  # as the session began
        ({}, True),  # expired
        ({"OLD": 7, "CALL": -10}, True),  # the book's
        ({"OLD": 8}, False),
        ({"OLD": 7, "ETH": 500}, False),
    ],
)
def test_what_is_held_beside_the_legs_is_explained_or_halts(beside: dict[str, int], explained: bool) -> None:
    _, orders, _, *rest = opening()
    before = [started(with_model=False), orders, PositionsReport(START, START, (("OLD", D(7)),)), *rest]
    state, outputs = fold(before)
    (order,) = (each for each in outputs if isinstance(each, SubmitOrder))
    filled = Filled(START + 3, order.order, "1", order.units, D(20_000), D(2))
    held = ((PERP, order.units), *((name, D(units)) for name, units in beside.items()))
    state, _ = fold([filled, PositionsReport(START + 9, START + 9, held)], state)
    words = "neither our fills nor the book explain it"
    assert (words in str(mismatch(state.venue)), state.risk is RiskState.HALTED) == (not explained, False)
    state, _ = fold([PositionsReport(START + 10, START + 10, held)], state)
    assert (state.risk is RiskState.HALTED) is not explained


def test_after_a_restart_a_leg_waits_until_a_report_proves_it() -> None:
    """One that differs while an order is in flight does not, and is asked for again."""
    state, outputs = fold([started(with_model=False), *opening()[1:]])
    (order,) = (each for each in outputs if isinstance(each, SubmitOrder))
    filled = Filled(START + 7, order.order, "1", order.units, D(20_000), D(2))
    orders, _, balance = reports(START + 6)
    told = [orders, positions(START + 6, order.units), balance]
    state, outputs = fold([started(START + 5, with_model=False), *told, filled, DecisionDue(START + 8)], state)
    assert not state.venue.awaited
    assert not [each for each in outputs if isinstance(each, Decision)]
    state, outputs = fold([quote(START + 40 * SECOND)], state)
    assert [each.what for each in outputs if isinstance(each, Ask)] == ["positions"]
    wrong, outputs = fold([positions(START + 41 * SECOND, D(1))], state)
    assert (wrong.venue.unproven, len([each for each in outputs if isinstance(each, Decision)])) == ({PERP}, 0)
    state, outputs = fold([positions(START + 41 * SECOND, order.units)], state)
    assert (state.venue.unproven, len([each for each in outputs if isinstance(each, Decision)])) == (set(), 1)


def test_a_mismatch_ends_with_a_report_that_agrees_and_an_older_one_does_not_count() -> None:
    state = hedged()
    state, _ = fold([positions(START + 9, D(1)), positions(START + 10, state.ledger.position(PERP), START + 5)], state)
    assert mismatch(state.venue) is not None
    state, _ = fold([positions(START + 11, state.ledger.position(PERP))], state)
    assert mismatch(state.venue) is None


def test_cash_is_compared_with_what_it_was_at_the_start() -> None:
    state = hedged()
    cash = state.ledger.hedge_cash
    assert mismatch(fold([BalanceReport(START + 9, START + 9, cash, 0.1)], state)[0].venue) is None
    off, _ = fold([BalanceReport(START + 9, START + 9, cash - 5, 0.1)], state)
    assert "the venue's cash is -5" in str(mismatch(off.venue))


def test_the_venue_is_asked_again_as_often_as_the_settings_say() -> None:
    state = hedged()
    _, outputs = fold([Heartbeat(START + 10), Heartbeat(START + HOUR), Heartbeat(START + HOUR + 1)], state)
    assert len([each for each in outputs if isinstance(each, Ask)]) == 4


def test_a_report_that_does_not_agree_is_asked_for_again_soon_and_not_for_ever() -> None:
    """Every 30 s, twice by the settings, whatever comes in; then as usual."""
    state, _ = fold([Heartbeat(START + HOUR), positions(START + HOUR + 1, D(1))], hedged())
    ticks = [quote(START + HOUR + seconds * SECOND) for seconds in (29, 30, 31, 59, 60, 61, 90, 900)]
    asked = {}
    for tick in ticks:
        state, outputs = fold([tick], state)
        asked[(tick.time - START - HOUR) // SECOND] = [each.what for each in outputs if isinstance(each, Ask)]
    assert {after: what for after, what in asked.items() if what} == {30: ["positions"], 60: ["positions"]}
    _, outputs = fold([Heartbeat(START + 2 * HOUR)], state)
    assert len([each for each in outputs if isinstance(each, Ask)]) == 4


@pytest.mark.parametrize(("skew", "asked"), [(600, ["time"]), (0, [])])
def test_a_clock_that_is_off_is_measured_again_soon(skew: int, asked: list[str]) -> None:
    """Else a second measurement, which alone confirms it, would come with the next usual question."""
    state, _ = fold([Heartbeat(START + HOUR), VenueTime(START + HOUR + 1, skew, 5)], hedged())
    state, outputs = fold([quote(START + HOUR + 31 * SECOND)], state)
    assert [each.what for each in outputs if isinstance(each, Ask)] == asked
    state, _ = fold([VenueTime(START + HOUR + 32 * SECOND, skew, 5)], state)
    assert (state.risk is RiskState.HALTED) is bool(skew)


def test_a_report_that_agrees_in_time_is_not_asked_for_again() -> None:
    state, _ = fold([positions(START + 9, D(1))], hedged())
    state, _ = fold([positions(START + 10, state.ledger.position(PERP))], state)
    _, outputs = fold([quote(START + 40 * SECOND)], state)
    assert not [each for each in outputs if isinstance(each, Ask)]


def test_of_two_distances_to_liquidation_the_worse_counts() -> None:
    """Isolated margin, 1.25 % of the hedge to maintain: by the venue's use u a move of 0.0125·(1/u − 1) liquidates."""
    state, _ = fold([quote(START + 5)], hedged())
    own = state.distance
    assert own is not None
    assert 0.5 < own < 2
    for use, expected in ((0.001, own), (0.2, 0.0125 * 4), (2.0, 0.0)):
        told, _ = fold([BalanceReport(START + 9, START + 9, state.ledger.hedge_cash, use)], state)
        assert told.distance == pytest.approx(expected, rel=1e-9, abs=1e-9)
    told, _ = fold(
        [BalanceReport(START + 9, START + 9, state.ledger.hedge_cash, 0.2), quote(START + 10, 20_200)], state
    )
    moved, _ = fold([quote(START + 10, 20_200)], state)
    assert moved.distance is not None
    assert told.distance == pytest.approx(moved.distance * 0.05 / own, rel=1e-9), "in proportion until the next report"


def test_a_venue_that_sees_liquidation_near_trips_the_breaker() -> None:
    state = hedged()
    near = BalanceReport(START + 9, START + 9, state.ledger.hedge_cash, 0.5)
    state, _ = fold([near, quote(START + 10), quote(START + 11)], state)
    assert state.risk is RiskState.REDUCING
    assert "a move of 1.2% liquidates" in state.strictest()


def test_our_own_order_that_rests_though_it_ended_is_cancelled_and_nobody_elses() -> None:
    state, outputs = fold([started(with_model=False), *opening()[1:]])
    (order,) = (each for each in outputs if isinstance(each, SubmitOrder))
    state, _ = fold([Cancelled(START + 3, order.order)], state)
    _, outputs = fold([OrdersReport(START + 9, (order.order, "someone-7"))], state)
    assert [each.order for each in outputs if isinstance(each, CancelOrder)] == [order.order]
