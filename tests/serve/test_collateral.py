"""Margin accounts near liquidation: how far they are, what a person is asked for, and what shrinks where it is late."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve import codec
from serve.account import Held, MarginAccount, cushion
from serve.clock import HOUR, SECOND
from serve.commands import Alert, Ask, Decision, Denied, Dropped, Output, Proposal, SubmitOrder
from serve.engine import Engine
from serve.events import BalanceReport, CollateralMoved, DecisionDue, Event, Filled, Heartbeat, Operator
from serve.standing import Standing
from serve.state import State
from serve.states import RiskState
from tests.serve.books import fold
from tests.serve.support import PERP, SPOT, START, opening, quote, started

D = Decimal
SPOTS = {"BTC": 20_000.0, "ETH": 1_000.0}
RULES = {"target": 0.5, "transfer_seconds": 24 * 3600, "lead": 4.0, "sigmas": 3.0}
TIDY = {"breakers__margin_distance__confirmations": 99}  # the breaker stays out of it


def account(equity: str, *holds: tuple[str, str, str], venue: str = "one", units: str = "0") -> MarginAccount:
    """`holds`: asset, delta and requirement."""
    rows = tuple(Held(asset, D(delta), D(required)) for asset, delta, required in holds)
    return MarginAccount(venue, D(equity), rows, ((PERP, D(units)),))


def test_the_distance_of_a_long_and_of_a_short_by_hand() -> None:
    """100,000 long on 11,000 at 1 %: closed x lower where 11,000 − 100,000·x = 1,000·(1 − x); a short x higher."""
    long, short = (cushion(account("11000", ("BTC", units, "1000")), SPOTS) for units in ("5", "-5"))
    assert long.distance == pytest.approx(10 / 99)
    assert short.distance == pytest.approx(10 / 101)
    assert cushion(account("900", ("BTC", "5", "1000")), SPOTS).distance == 0


def test_offsets_net_but_no_further_than_when_one_asset_moves_alone() -> None:
    both = cushion(account("11000", ("BTC", "5", "1000"), ("ETH", "-80", "800")), SPOTS)
    assert both.distance == pytest.approx(9_200 / 99_000), "BTC alone; together they gain what ETH loses"
    same = cushion(account("11000", ("BTC", "5", "1000"), ("ETH", "80", "800")), SPOTS)
    assert same.distance == pytest.approx(9_200 / (99_000 + 79_200))


def test_coin_collateral_offsets_a_short_in_the_same_coin() -> None:
    """5 short against 5 of collateral: whatever the price, the equity stays; only maintenance grows."""
    hedged = cushion(account("100000", ("BTC", "0", "1000")), SPOTS)
    assert hedged.distance == pytest.approx(99)


@given(st.floats(-20, 20), st.floats(0.005, 0.03), st.floats(1.0, 3.0))
def test_an_account_moved_to_its_liquidation_price_is_at_its_limit(units: float, rate: float, free: float) -> None:
    required = D(abs(units) * 20_000 * rate)
    told = MarginAccount("one", required * D(free), (Held("BTC", D(units), required),), ())
    near = cushion(told, SPOTS)
    if units == 0 or near.distance >= 0.9:
        return
    at = {"BTC": 20_000.0 * (1 - near.distance if units > 0 else 1 + near.distance)}
    moved = told.moved(SPOTS, at)
    assert float(moved.equity) == pytest.approx(float(moved.holds[0].requirement), rel=1e-6)


@given(st.floats(0.05, 0.5), st.floats(0.01, 0.9))
def test_what_is_missing_and_what_is_kept_both_restore_the_distance(equity: float, target: float) -> None:
    start = account(str(equity * 100_000), ("BTC", "5", "1000"))
    near = cushion(start, SPOTS)
    more = account(str(equity * 100_000 + near.missing(target)), ("BTC", "5", "1000"))
    share = near.kept(target)
    less = account(str(equity * 100_000), ("BTC", str(5 * share), str(1000 * share)))
    assert cushion(more, SPOTS).distance == pytest.approx(target)
    assert cushion(less, SPOTS).distance == pytest.approx(target)


@cache
def engine(**changes: Any) -> Engine:
    return Engine.opened(_started(**changes))


def _started(**changes: Any) -> Any:
    return started(with_model=False, collateral=RULES, **TIDY, **changes)


def go(state: State, *events: Event) -> tuple[State, list[Output]]:
    return fold(engine(), list(events), state)


@cache
def hedged() -> State:
    """5 BTC and a bit of perpetual beside a call, on 100,000 of collateral; 3 % of filtered volatility a day."""
    state, outputs = fold(engine(), [_started(), *opening()[1:]])
    (order,) = of(outputs, SubmitOrder)
    return go(state, Filled(START + 3, order.order, "1", order.units, D(20_000), D(2)), quote(START + 4))[0]


def of(outputs: list[Output], kind: Any) -> list[Any]:
    return [each for each in outputs if isinstance(each, kind)]


def told(use: float, at: int = START + 5, cash: str = "0", *accounts: MarginAccount) -> BalanceReport:
    """The venue's word on the margin used: a move of 0.0125·(1/use − 1) liquidates."""
    return BalanceReport(at, at, hedged().ledger.hedge_cash + D(cash), use, accounts)


def moved(
    amount: str, at: int = START + 10, source: str = "outside", to: str = PERP, who: str = "ann"
) -> CollateralMoved:
    return CollateralMoved(at, to, D(amount), source, at + 60_000, who, "as proposed")


def test_far_from_liquidation_nothing_is_asked_for() -> None:
    _, outputs = go(hedged(), told(0.02), quote(START + 6, 19_900))
    assert of(outputs, Proposal) == []


def test_a_transfer_is_proposed_ahead_of_the_limit_once_and_nothing_is_traded() -> None:
    """The limit is 2 %; 14 % off, a transfer of a day comes in time at three deviations of that day, 9 %."""
    state, outputs = go(hedged(), told(0.08))
    (made,), (alert,) = of(outputs, Proposal), of(outputs, Alert)
    assert (made.account, made.source, made.in_time) == (PERP, "outside", True)
    assert made.distance == pytest.approx(0.0125 * (1 / 0.08 - 1), abs=1e-6)
    notional = float(state.ledger.position(PERP)) * SPOT
    assert float(made.amount) == pytest.approx((0.5 - made.distance) * notional, abs=0.02)
    assert f"move {made.amount:,.2f} from outside to BTC-PERP" in alert.text
    assert made.expected == START + 5 + 24 * HOUR
    assert codec.decode(codec.encode(made)) == made
    _, outputs = go(state, quote(START + 6, 19_999), quote(START + 7, 19_990))
    assert of(outputs, Proposal) + of(outputs, SubmitOrder) == []


def test_where_a_transfer_would_come_too_late_the_position_shrinks_to_what_the_margin_carries() -> None:
    state, outputs = go(hedged(), told(0.25))
    (made,), (decision,), (order,) = of(outputs, Proposal), of(outputs, Decision), of(outputs, SubmitOrder)
    assert (made.in_time, decision.source) == (False, "protect")
    held = state.ledger.position(PERP)
    assert order.reduce_only
    near = 0.0125 * (1 / 0.25 - 1)
    assert float((held + order.units) / held) == pytest.approx((near + 0.0125) / (0.5 + 0.0125), abs=2e-4)
    (cap,) = state.care.caps.values()
    assert cap.units == held + order.units
    assert order.venue == ""


def test_while_capped_the_hedge_may_not_grow_and_the_rest_is_decided_anew() -> None:
    state, outputs = go(hedged(), told(0.25))
    (order,) = of(outputs, SubmitOrder)
    state, outputs = go(state, Filled(START + 6, order.order, "1", order.units, D(20_000), D(1)), quote(START + 7))
    assert state.distance is not None
    assert state.distance > 0.3, "by our account, in proportion to the venue's word"
    _, outputs = go(state, DecisionDue(START + 8))
    (denied,) = of(outputs, Denied)
    assert "limit margin:BTC-PERP" in denied.reason
    assert state.orders[order.order].units == order.units
    asked, _ = go(state, quote(START + 5 + 4 * HOUR))
    assert of(go(state, quote(START + 5 + 4 * HOUR))[1], Decision), "at the next slice"
    assert asked.care.caps


def test_in_reducing_the_protection_still_shrinks_a_position_that_hedges() -> None:
    persons = [Operator(START + 4, action, "ann", "drill", "") for action in ("halt", "resume")]
    state, _ = go(hedged(), *persons)
    assert state.risk is RiskState.REDUCING
    _, outputs = go(state, told(0.25))
    assert [each.units < 0 for each in of(outputs, SubmitOrder)] == [True]


def test_while_halted_nothing_leaves_and_a_person_is_asked_all_the_same() -> None:
    state, _ = go(hedged(), Operator(START + 4, "halt", "ann", "drill", ""))
    _, outputs = go(state, told(0.25))
    assert (of(outputs, SubmitOrder), len(of(outputs, Proposal))) == ([], 1)


def test_a_recorded_transfer_counts_when_the_venue_tells_of_it_and_is_no_mismatch() -> None:
    state, _ = go(hedged(), told(0.08))
    state, outputs = go(state, moved("40000"))
    assert len(state.care.awaited) == 1
    assert PERP not in state.care.proposed
    _, outputs = go(state, quote(START + 40_000), quote(START + 70_010), quote(START + 70_020))
    assert [each.what for each in of(outputs, Ask)] == ["balance"], "asked once it should be there"
    before = state.distance
    state, _ = go(state, told(0.02, START + 70_030, "40000"))
    assert (state.care.awaited, state.opening.posted) == ((), {PERP: D(40_000)})
    assert not state.venue.mismatches
    assert before is not None
    assert state.distance is not None
    assert state.distance > before + 0.3
    again, _ = go(state, told(0.02, START + 80_000, "40000"))
    assert not again.venue.mismatches
    gone, _ = go(state, told(0.02, START + 80_000, "0"))
    assert "the venue's cash is -40000" in gone.venue.mismatches["balance"]


def test_a_transfer_that_does_not_come_is_told_and_asked_for_again() -> None:
    """While it should be there within a minute 5 % is not too late; overdue, it is, from the next believed quote on."""
    at = START + 10
    sent = [told(0.08), moved("40000", at), told(0.19, at + 1)]
    state, outputs = go(hedged(), *sent)
    assert (len(of(outputs, Proposal)), of(outputs, SubmitOrder)) == (1, [])
    state, outputs = go(state, quote(at + 61_000, 20_001), quote(at + 62_000, 20_002))
    assert [order.units < 0 for order in of(outputs, SubmitOrder)] == [True]
    lost = at + 60_000 + 24 * HOUR + 1
    state, outputs = go(state, quote(lost, 20_003))
    assert state.care.awaited != (), "the venue has told nothing since it should be there"
    state, outputs = go(state, told(0.19, lost + 1))
    assert any("40,000.00 from outside have not come to BTC-PERP" in each.text for each in of(outputs, Alert))
    assert state.care.awaited == ()


def test_collateral_that_nobody_recorded_does_not_agree() -> None:
    state, _ = go(hedged(), told(0.02, START + 5, "40000"))
    assert "40000" in state.venue.mismatches["balance"]


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (moved("1", to="elsewhere"), "there is no margin account elsewhere; have BTC-PERP"),
        (moved("1", who=" "), "moved by nobody"),
        (moved("NaN"), "not finite"),
    ],
)
def test_a_transfer_that_cannot_be_is_refused(event: CollateralMoved, words: str) -> None:
    state, outputs = go(hedged(), event)
    (dropped,) = of(outputs, Dropped)
    assert words in dropped.reason
    assert not state.care.awaited


def two(near: str, far: str, at: int = START + 5) -> BalanceReport:
    """5 BTC long at one venue and 3 at another, on so much equity."""
    first = account(near, ("BTC", "5", "1250"), venue="near", units="5")
    second = account(far, ("BTC", "3", "750"), venue="far", units="3")
    return told(0.01, at, "0", first, second)


def test_of_two_venues_the_nearer_counts_and_the_other_gives_what_it_can_spare() -> None:
    for far, source in (("200000", "far"), ("20000", "outside")):
        state, outputs = go(hedged(), two("16000", far))
        assert state.distance == pytest.approx(14_750 / 98_750)
        made = {each.account: each for each in of(outputs, Proposal)}
        assert (made["near"].source, made["near"].in_time) == (source, True)
        assert float(made["near"].amount) == pytest.approx((0.5 - 14_750 / 98_750) * 98_750, abs=0.02)
        assert set(made) == {"near"}


def test_between_reports_each_account_moves_with_the_spot() -> None:
    state, _ = go(hedged(), two("30000", "200000"), quote(START + 6, 19_600))
    worth = 30_000 - 5 * 400
    assert state.distance == pytest.approx((worth - 1250 * 0.98) / (98_000 - 1250 * 0.98))


def test_the_order_that_relieves_an_account_is_for_its_venue() -> None:
    _, outputs = go(hedged(), two("4000", "200000"))
    (order,), (made,) = of(outputs, SubmitOrder), of(outputs, Proposal)
    assert (order.venue, order.reduce_only, made.in_time) == ("near", True, False)
    share = 4_000 / (1_250 + 0.5 * 98_750)
    assert float(-order.units) <= 5 * (1 - share) + 0.001


def test_a_transfer_between_our_own_accounts_leaves_and_comes() -> None:
    state, _ = go(hedged(), two("16000", "200000"), moved("40000", source="far", to="near"))
    state, _ = go(state, told(0.01, START + 30_000, "-40000", *two("10000", "160000").accounts))
    assert not state.venue.mismatches
    assert len(state.care.awaited) == 1, "on its way"
    state, _ = go(state, told(0.01, START + 80_000, "0", *two("50000", "160000").accounts))
    assert not state.venue.mismatches
    assert state.care.awaited == ()


def test_status_shows_a_proposal_until_somebody_records_the_transfer() -> None:
    _, outputs = go(hedged(), told(0.08))
    (made,) = of(outputs, Proposal)
    found = Standing()
    found.heard(made)
    assert any(line.startswith("Proposed") and "from outside to BTC-PERP" in line for line in found.words())
    assert found.facts()["proposals"] == {PERP: str(made.amount)}
    found.heard(moved("40000"))
    assert found.proposals == {}


def test_silence_alone_proposes_nothing() -> None:
    state, _ = go(hedged(), told(0.08))
    _, outputs = go(state, *(Heartbeat(START + k * 300 * SECOND) for k in range(1, 4)))
    assert of(outputs, Proposal) == []
