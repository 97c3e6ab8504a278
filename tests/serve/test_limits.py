from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.clock import SECOND
from serve.commands import Denied, SubmitOrder
from serve.engine import Engine
from serve.events import DecisionDue, Filled
from serve.limits import (
    UNBOUNDED,
    AssetLimits,
    Deployment,
    Exposure,
    LegLimits,
    Limit,
    Limits,
    Measure,
    Rule,
    Ruling,
    ruled,
)
from tests.serve.books import fold
from tests.serve.support import START, call, opening, quote, started

D = Decimal


def limit(soft: str, hard: str) -> Limit:
    return Limit(soft=D(soft), hard=D(hard))


LIMITS = Limits(
    assets={"BTC": AssetLimits(delta=limit("6", "7"), gamma=limit("9", "9"), vega=limit("9", "9"))},
    legs={"P": LegLimits(order=limit("5", "5"), position=limit("8", "8"))},
    stress_loss=limit("100", "200"),
    notional=limit("1000", "1000"),
    order_value=limit("600", "700"),
    deployment=Deployment(share=D(1), days=D(0)),
    collar=D("0.02"),
    max_messages=2,
    per_seconds=60,
    override_seconds=60,
)


def delta(low: str, high: str | None = None, each: str = "1") -> Measure:
    return Measure("delta:BTC", D(low), D(low if high is None else high), D(each), D(6), D(7), risk=True)


def position(low: str = "0", high: str | None = None) -> Measure:
    return Measure("position:P", D(low), D(low if high is None else high), D(1), D(8), D(8))


FLAT = Exposure(
    "P", D("0.001"), position(), (delta("0"),), D(100), limit("5", "5"), LIMITS.order_value, D(100), D(0), ()
)


def rule(wanted: str, exposure: Exposure = FLAT, how: Rule = Rule.FREE) -> Ruling:
    return ruled(LIMITS, D(wanted), exposure, how, 100 * SECOND)


def test_within_everything_nothing_is_cut() -> None:
    assert rule("3") == Ruling(D(3), "")


def test_a_large_order_is_sliced_and_the_rest_comes_soon() -> None:
    ruling = rule("-9", replace(FLAT, measures=(delta("9"),)))
    assert (ruling.units, ruling.again) == (-5, True)
    assert "order:P is 5" in ruling.reason
    assert rule("4", replace(FLAT, slice=D("1.5"))).units == D("1.5")


def test_no_order_is_worth_more_than_its_limit_and_the_rest_comes_soon() -> None:
    """At a mark of 150 a soft limit of 600 is 4 units; one that a person lifted leaves the hard limit's 700."""
    dear = replace(FLAT, mark=D(150))
    ruling = rule("4.5", dear)
    assert (ruling.units, ruling.again) == (4, True)
    assert "soft limit order_value is 600" in ruling.reason
    assert rule("-4.8", replace(dear, overridden=frozenset({"order_value"}))).units == D("-4.666")


@pytest.mark.parametrize(("low", "high", "allowed"), [("6", "6", "2"), ("4", "7", "1"), ("8", "8", "0")])
def test_position_counts_orders_in_flight(low: str, high: str, allowed: str) -> None:
    exposure = replace(FLAT, position=position(low, high), measures=(delta("-9"),))
    assert rule("4", exposure).units == D(allowed)


def test_a_position_over_its_limit_may_still_shrink() -> None:
    assert rule("-4", replace(FLAT, position=position("12"), measures=())).units == -4


@pytest.mark.parametrize(
    ("low", "high", "wanted", "allowed"),
    [("4", "4", "3", "2"), ("12", "12", "-3", "-3"), ("-2", "5", "3", "1"), ("-5", "2", "-3", "-1")],
)
def test_delta_after_the_fill_whichever_orders_in_flight_fill(low: str, high: str, wanted: str, allowed: str) -> None:
    assert rule(wanted, replace(FLAT, measures=(delta(low, high),))).units == D(allowed)


def test_a_soft_limit_gives_way_to_a_person_and_a_hard_one_to_nobody() -> None:
    near = replace(FLAT, measures=(delta("5"),))
    assert (rule("4", near).units, rule("4", near).reason) == (1, "soft limit delta:BTC is 6")
    lifted = replace(near, overridden=frozenset({"delta:BTC"}))
    assert (rule("4", lifted).units, rule("4", lifted).reason) == (2, "hard limit delta:BTC is 7")


def test_a_loss_has_one_side() -> None:
    """A case that would lose 80 more may not lose beyond 100, and one that gains may gain whatever it likes."""
    case = Measure("stress_loss", D(-80), -UNBOUNDED, D(-10), D(100), D(200))
    assert rule("4", replace(FLAT, measures=(case,))).units == 2
    assert rule("-4", replace(FLAT, measures=(case,))).units == -4


def test_what_makes_the_worst_case_no_worse_is_let_through_and_the_rest_tried_again() -> None:
    """Up it would lose 150 and down 130, of 100: units that gain 10 up and lose 10 down may go until both lose 150."""
    up = Measure("stress_loss", D(-150), -UNBOUNDED, D(10), D(100), D(100), already=D(150))
    beyond = replace(FLAT, measures=(up, replace(up, low=D(-130), each=D(-10))))
    ruling = rule("4", beyond)
    assert (ruling.units, ruling.again, ruling.reason) == (2, True, "soft limit stress_loss is 100")
    assert rule("-4", beyond).units == 0


def test_beyond_the_stress_limit_a_hedge_that_makes_the_worst_case_better_is_not_cut() -> None:
    """Of a straddle after a fall: what is sold takes a rise from 17,000 to 35,000 lost, and a fall from 46,000 off."""
    tight = {"soft": "30000", "hard": "30000"}
    first = started(with_model=False, limits__stress_loss=tight, execution__slice_seconds=60.0)
    engine, sold = Engine.opened(first), call(START + 2)
    put = replace(sold, holding=replace(sold.holding, id="put-1", right="put"))
    state, outputs = fold(engine, [first, *opening()[1:], put])
    while sent := [each for each in outputs if isinstance(each, SubmitOrder)]:
        fills = [Filled(START + 3, each.order, "1", each.units, D(20_000), D(0)) for each in sent]
        state, outputs = fold(engine, list(fills), state)
    at = START + 61 * SECOND
    state, outputs = fold(engine, [quote(at, 19_500.0), DecisionDue(at + 1)], state)
    (order,) = (each for each in outputs if isinstance(each, SubmitOrder))
    assert order.units < -4
    assert not [each for each in outputs if isinstance(each, Denied)]


def test_an_option_leg_is_measured_by_its_own_greeks() -> None:
    assert rule("4", replace(FLAT, measures=(delta("4", each="0.5"),))).units == 4
    assert rule("4", replace(FLAT, measures=(delta("5", each="0.5"),))).units == 2


def test_collar_around_the_index() -> None:
    ruling = rule("1", replace(FLAT, basis=D("0.021")))
    assert (ruling.units, ruling.again) == (0, True)
    assert "2.10% from the oracle's price" in ruling.reason
    assert ruling.collared


def test_message_rate_counts_what_was_sent() -> None:
    busy = replace(FLAT, sent=(41 * SECOND, 99 * SECOND))
    assert "2 orders were sent within 60 s" in rule("1", busy).reason
    assert rule("1", replace(FLAT, sent=(39 * SECOND, 99 * SECOND))).units == 1


def test_halted_lets_nothing_out() -> None:
    assert rule("1", how=Rule.CLOSED).units == 0


def test_shrinking_clips_an_oversized_hedge_and_refuses_what_grows() -> None:
    short = replace(FLAT, measures=(delta("-2.5004"),))
    assert rule("4", short, Rule.SHRINKING).units == D("2.500")
    assert rule("-1", short, Rule.SHRINKING).units == 0
    assert "shrink |risk|" in rule("-1", short, Rule.SHRINKING).reason
    flying = replace(FLAT, measures=(delta("-2.5004", "0"),))
    assert rule("1", flying, Rule.SHRINKING).units == 0


def test_shrinking_lets_a_position_grow_that_shrinks_delta() -> None:
    short = replace(FLAT, position=position("3"), measures=(delta("-2"),))
    assert rule("2", short, Rule.SHRINKING).units == 2
    assert rule("2", short, Rule.UNWINDING).units == 0


def test_unwinding_never_turns_the_position() -> None:
    assert rule("-4", replace(FLAT, position=position("3"), measures=()), Rule.UNWINDING).units == -3


SIZES = st.decimals(-20, 20, places=3)


@given(SIZES, SIZES, st.decimals(0, 9, places=3), st.decimals("-2", "2", places=2))
def test_shrinking_never_grows_risk_nor_turns_it(wanted: Decimal, net: Decimal, flying: Decimal, each: Decimal) -> None:
    """Whether the orders in flight fill or not."""
    measure = Measure("delta:BTC", net, net + flying, each, D(6), D(7), risk=True)
    units = rule(str(wanted), replace(FLAT, measures=(measure,)), Rule.SHRINKING).units
    for before in (net, net + flying):
        after = before + units * each
        assert abs(after) <= abs(before)
        assert before * after >= 0


@given(SIZES, SIZES, SIZES, st.sampled_from([Rule.FREE, Rule.SHRINKING, Rule.UNWINDING]))
def test_never_more_than_wanted_and_within_the_limits(wanted: Decimal, held: Decimal, book: Decimal, how: Rule) -> None:
    exposure = replace(FLAT, position=position(str(held)), measures=(delta(str(book + held)),))
    units = rule(str(wanted), exposure, how).units
    assert units * wanted >= 0
    assert abs(units) <= min(abs(wanted), D(5))
    assert abs(held + units) <= max(D(8), abs(held))
    assert abs(book + held + units) <= max(D(6), abs(book + held))
