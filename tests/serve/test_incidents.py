"""What has gone wrong for others who trade by machine (`README.md` names the list), one incident each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from agents.network import ActorNetwork
from serve.clock import HOUR, SECOND, VirtualClock
from serve.commands import Ask, CancelOrder, Decision, Flat, Infer, LookUp, Output, SubmitOrder
from serve.events import (
    Absent,
    Acknowledged,
    BalanceReport,
    BookSettled,
    Cancelled,
    DecisionDue,
    Deleveraged,
    Event,
    Filled,
    FundingPaid,
    Heartbeat,
    Operator,
    OrdersReport,
    OutcomeUnknown,
    PositionsReport,
)
from serve.holdings import DTYPE
from serve.journal import Journal
from serve.orders import Status
from serve.policy import NetworkPolicies
from serve.state import State
from serve.states import RiskState
from tests.serve.busy import Exchange
from tests.serve.support import PERP, START, call, opening, quote, started
from tests.serve.test_engine import fold, of, reply, usual
from tests.serve.test_people import hedger, items

FIRST, SECOND_ORDER = "test-000001", "test-000002"
D = Decimal
LATER = 1200 * SECOND  # when the next decision is due; the quotes are not stale by then


def step(state: State, events: Iterable[Event]) -> tuple[State, list[Output]]:
    outputs = list[Output]()
    for event in events:
        state, more = usual().step(state, event)
        outputs += more
    return state, outputs


def in_flight() -> tuple[State, Decimal]:
    """The first hedge has left, and nothing was heard yet; its units."""
    state, outputs = fold([*opening(), reply()])
    return state, ordered(outputs)


def ordered(outputs: list[Output]) -> Decimal:
    """Units of the only order among them."""
    (order,) = of(SubmitOrder, outputs)
    assert isinstance(order, SubmitOrder)
    return order.units


def fill(order: str, units: Decimal, at: int, trade: str = "t") -> Filled:
    return Filled(at, order, trade, units, D(20_001), D("1.5"))


def held(state: State) -> Decimal:
    return state.ledger.position(PERP)


def hedged() -> tuple[State, Decimal]:
    """The first hedge is held."""
    state, units = in_flight()
    return step(state, [Acknowledged(START + 4, FIRST), fill(FIRST, units, START + 4)])[0], units


def test_a_fill_that_comes_after_its_order_was_lost_is_booked_and_hedged_around() -> None:
    """The order was looked up, absent after it expired, and its work done by another: both fill in the end."""
    state, units = in_flight()
    gone = START + 40 * SECOND
    state, outputs = step(state, [Heartbeat(START + 11 * SECOND), Absent(gone, FIRST)])
    assert (state.orders[FIRST].status, len(of(LookUp, outputs))) == (Status.LOST, 1)
    state, outputs = step(state, [reply(number=2, at=gone + 1)])
    assert ordered(outputs) == units
    both = [fill(SECOND_ORDER, units, gone + 2, "u"), fill(FIRST, units, gone + 3)]
    state, outputs = step(state, both)
    assert (held(state), state.risk, len(of(Infer, outputs))) == (2 * units, RiskState.ACTIVE, 1)
    state, outputs = step(state, [reply(number=state.questions_made, at=gone + 4)])
    assert -units < ordered(outputs) < 0, "of what is held twice the band's excess is sold at once"


def test_a_fill_before_its_acknowledgement_and_told_twice_is_one_fill() -> None:
    state, units = in_flight()
    once = fill(FIRST, units, START + 4)
    state, _ = step(state, [once, once, Acknowledged(START + 4, FIRST), once])
    assert (held(state), state.orders[FIRST].status) == (units, Status.FILLED)
    assert (state.risk, state.dropped) == (RiskState.ACTIVE, {"Filled": 2})


def test_fills_that_a_reconnect_did_not_replay_are_found_by_looking_up() -> None:
    """Where the venue's positions tell of them first, the open order explains it."""
    state, units = in_flight()
    at = START + 11 * SECOND
    state, outputs = step(state, [Acknowledged(START + 4, FIRST), PositionsReport(at, at, ((PERP, units),))])
    assert of(LookUp, outputs) == [LookUp(at, FIRST)]
    state, _ = step(state, [Acknowledged(at + 1, FIRST), fill(FIRST, units, at + 1)])
    state, _ = step(state, [PositionsReport(at + 30_000, at + 30_000, ((PERP, units),))])
    assert (held(state), state.venue.mismatches, state.risk) == (units, {}, RiskState.ACTIVE)


def test_a_part_that_filled_before_the_connection_broke_is_kept_and_the_rest_done_once() -> None:
    state, units = in_flight()
    part = fill(FIRST, D("0.5"), START + 4)
    state, _ = step(state, [Acknowledged(START + 4, FIRST), part, OutcomeUnknown(START + 5, FIRST, "reset")])
    assert state.orders[FIRST].left == units - D("0.5"), "the rest may still fill"
    at = START + 12 * SECOND
    state, _ = step(state, [Acknowledged(at, FIRST), replace(part, time=at), Cancelled(at, FIRST)])
    assert (held(state), state.reserved) == (D("0.5"), ())
    state, _ = step(state, [quote(START + LATER), DecisionDue(START + LATER + 1)])
    state, outputs = step(state, [reply(number=state.questions_made, at=START + LATER + 2)])
    assert 0.95 * float(units) < float(ordered(outputs)) + 0.5 < 1.05 * float(units)


def test_a_cancel_that_came_too_late_is_no_fault() -> None:
    """The venue answers the halt's cancel with the fill that was faster."""
    state, units = in_flight()
    state, outputs = step(state, [Operator(START + 4, "halt", "ann", "stop", ""), fill(FIRST, units, START + 5)])
    assert of(CancelOrder, outputs) == [CancelOrder(START + 4, FIRST)]
    assert (held(state), state.orders[FIRST].status) == (units, Status.FILLED)
    assert [name for name, each in state.monitors.items() if each.level > RiskState.ACTIVE] == ["operator"]


def test_another_bot_on_the_account_halts_us_and_keeps_its_orders() -> None:
    state, _ = in_flight()
    theirs = [OrdersReport(START + k * SECOND, (FIRST, "other-000001")) for k in (4, 5)]
    state, outputs = step(state, [fill("other-000001", D(3), START + 3 * SECOND), *theirs])
    assert (held(state), state.dropped) == (0, {"Filled": 1})
    assert (state.risk, "other-000001 rests" in state.strictest()) == (RiskState.HALTED, True)
    assert {each.order for each in of(CancelOrder, outputs) if isinstance(each, CancelOrder)} == {FIRST}


def test_funding_that_falls_between_an_order_and_its_fill_is_booked_as_the_venue_pays_it() -> None:
    """On what was held at that time, which is the venue's to say; the cash agrees before and after."""
    state, _ = hedged()
    cash = state.ledger.hedge_cash
    state, outputs = step(state, [quote(START + LATER, 19_500.0), DecisionDue(START + LATER + 1)])
    state, outputs = step(state, [reply(number=state.questions_made, at=START + LATER + 2)])
    sold, paid = ordered(outputs), D("-12.34")
    at = START + LATER + 3
    state, _ = step(state, [FundingPaid(at, PERP, paid), fill(SECOND_ORDER, sold, at + 1, "u")])
    expected = cash + paid - sold * D(20_001) - D("1.5")
    assert (state.ledger.hedge_cash, state.ledger.account(PERP).funding) == (expected, paid)
    start = state.venue.cash_start
    assert start is not None
    state, _ = step(state, [BalanceReport(at + 2, at + 2, start + expected, 0.1)])
    assert state.venue.mismatches == {}


def test_an_option_that_expires_between_order_and_fill_leaves_a_hedge_that_is_closed() -> None:
    state, units = in_flight()
    settled = BookSettled(START + 4, "call-1", 20_000.0, D(0))
    state, outputs = step(state, [settled, Acknowledged(START + 5, FIRST), fill(FIRST, units, START + 5)])
    assert (held(state) - units, of(Infer, outputs)) == (0, []), "nobody is asked about a book that is empty"
    (closing,) = [each for each in of(Decision, outputs) if isinstance(each, Decision)]
    assert (closing.source, ordered(outputs)) == ("close", -units)


def test_a_leg_that_the_venue_deleverages_is_hedged_anew_at_once() -> None:
    """And again under REDUCING, once a second cut has tripped the breaker: to buy back is to shrink the risk."""
    state, units = hedged()
    cut = Deleveraged(START + LATER, PERP, -units / 2, D(19_990))
    state, outputs = step(state, [quote(START + LATER), cut])
    assert (held(state), len(of(Infer, outputs))) == (units / 2, 1)
    state, outputs = step(state, [reply(number=state.questions_made, at=START + LATER + 1)])
    bought = ordered(outputs)
    assert 0.9 * float(units / 2) < float(bought) < 1.1 * float(units / 2)
    again = [fill(SECOND_ORDER, bought, START + LATER + 2, "u"), replace(cut, time=START + LATER + 3)]
    state, outputs = step(state, again)
    assert state.monitors["auto_deleveraging"].level is RiskState.REDUCING
    (made,) = [each for each in of(Decision, outputs) if isinstance(each, Decision)]
    assert (made.source, made.time) == ("fallback", START + LATER + 3)
    assert ordered(outputs) > 0


def test_an_order_that_only_reduces_leaves_with_no_margin_to_spare() -> None:
    """The venue says that all but all of the equity is bound: what shrinks the risk is sent all the same."""
    state, _ = hedged()
    at = START + LATER
    bound = [BalanceReport(at + k, at + k, state.ledger.hedge_cash, 0.999) for k in (1, 2)]
    state, outputs = step(state, [*bound, quote(at + 3), quote(at + 4)])
    assert state.monitors["margin_distance"].level is RiskState.REDUCING
    assert ordered(outputs) < 0, "what the margin does not carry goes at once"
    gone = Filled(at + 5, of(SubmitOrder, outputs)[0].order, "1", ordered(outputs), Decimal(20_000), Decimal(1))
    _, outputs = step(state, [gone, quote(at + LATER, 15_000.0), quote(at + LATER + 1, 15_000.0)])
    assert ordered(outputs) < 0, "the call lost its delta, and the rest of the hedge is sold"


class Slow(VirtualClock):
    """Two seconds and a half pass between two looks at it."""

    def now(self) -> int:
        self.wait_until(super().now() + 2500)
        return super().now()


def test_a_model_that_takes_too_long_is_answered_for_by_the_analytic_hedge() -> None:
    state, _ = fold(opening())
    policies = NetworkPolicies(Slow(START), 2.0)
    assert state.question is not None
    asked = state.question.asked
    policies.add("m", ActorNetwork(len(asked.features), (), "silu", 2).to(DTYPE))
    late = policies.answer(Infer(START, asked.request, "m", asked.features))
    assert (late.action, late.error) == (None, "answer took 2.5 s")
    state, outputs = step(state, [replace(late, time=START + 3, model=asked.model)])
    (made,) = [each for each in of(Decision, outputs) if isinstance(each, Decision)]
    assert (made.source, "2.5 s" in made.reason) == ("fallback", True)
    assert ordered(outputs) > 0


def test_a_restart_meets_a_foreign_order_and_does_not_begin() -> None:
    state, _ = hedged()
    state, outputs = step(state, [started(START + HOUR), OrdersReport(START + HOUR, ("other-000001",))])
    assert (state.risk, bool(state.venue.awaited)) == (RiskState.HALTED, True)
    state, outputs = step(state, [DecisionDue(START + 2 * HOUR), quote(START + 2 * HOUR)])
    assert of(SubmitOrder, outputs) == []


def test_a_silent_stall_with_the_socket_open_is_no_market() -> None:
    """Heartbeats alone: the breaker says how old the price is, and nothing is decided on it until there is another."""
    state, _ = hedged()
    state, outputs = step(state, [Heartbeat(START + k * 900 * SECOND) for k in range(1, 6)])
    assert state.monitors["stale_input"].level is RiskState.REDUCING
    assert "s old, limit 2700 s" in state.monitors["stale_input"].reason
    at = START + 4501 * SECOND
    state, more = step(state, [call(at, units="-5", name="call-2", bars=20), DecisionDue(at + 1)])
    assert of(Decision, outputs + more) == []
    _, outputs = step(state, [quote(at + 2)])
    assert ordered(outputs) > 0


class Storming(Exchange):
    """Refuses every call, rate limited, while the storm lasts; else every order fills."""

    storm, calls = False, 0

    def submit(self, order: SubmitOrder) -> tuple[Event, ...]:
        self._called()
        return super().submit(order)

    def cancel(self, order: CancelOrder) -> tuple[Event, ...]:
        self._called()
        return super().cancel(order)

    def look_up(self, order: LookUp) -> tuple[Event, ...]:
        self._called()
        return super().look_up(order)

    def report(self, question: Ask) -> tuple[Event, ...]:
        self._called()
        return super().report(question)

    def _called(self) -> None:
        self.calls += 1
        if self.storm:
            raise ConnectionError("429 Too Many Requests")

    def _fate(self, order: SubmitOrder) -> str:
        return "filled"


def test_a_flatten_outlasts_a_storm_of_refusals_and_is_said_when_it_is_so(tmp_path: Path) -> None:
    """The venue refuses everything, twice: before the first slice, and between it and the confirmation."""
    journal, venue = Journal(str(tmp_path / "j.db")), Storming()
    venue.price = D(20_000)
    runner, _ = hedger(journal, venue)
    for event in opening(execution__slice_seconds=15.0):
        runner.handle(event)
    assert venue.position > 3
    flats, at, storms = list[int](), START + 10, (range(5), range(6, 11))
    for k in range(14):
        venue.storm, before = any(k in each for each in storms), venue.calls
        if k == 1:
            runner.handle(Operator(at, "flatten", "ann", "exercise", "close"))
        runner.handle(quote(at))
        at += 15 * SECOND
        runner.handle(Heartbeat(at))
        runner.flush()
        flats += [k] if any(isinstance(each, Flat) for each in items(journal)) and not flats else []
        assert venue.calls - before < 12, "a storm is not answered by a storm"
    assert (venue.position, held(runner.state)) == (0, 0)
    assert flats, "never said"
    assert flats[0] >= 11, "said while nobody could know"
    assert set(venue.received.values()) == {1}
    journal.close()
