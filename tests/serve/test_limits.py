from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.clock import SECOND
from serve.limits import Exposure, Limits, Ruling, ruled
from serve.states import RiskState

D = Decimal
LIMITS = Limits(max_order=D(5), max_position=D(8), max_delta=D(6), collar=D("0.02"), max_messages=2, per_seconds=60)
FLAT = Exposure(D(0), D(0), D(0), D(0), D(100), D(100), ())
ACTIVE, REDUCING = RiskState.ACTIVE, RiskState.REDUCING


def rule(wanted: str, exposure: Exposure = FLAT, state: RiskState = ACTIVE) -> Ruling:
    return ruled(LIMITS, D(wanted), exposure, state, D("0.001"), 100 * SECOND)


def test_within_everything_nothing_is_cut() -> None:
    assert rule("3") == Ruling(D(3), "")


def test_a_large_order_is_sliced() -> None:
    ruling = rule("-9", replace(FLAT, book_delta=D(9)))
    assert ruling.units == -5
    assert "largest order" in ruling.reason


@pytest.mark.parametrize(("position", "buying", "allowed"), [("6", "0", "2"), ("4", "3", "1"), ("8", "0", "0")])
def test_position_counts_orders_in_flight(position: str, buying: str, allowed: str) -> None:
    exposure = replace(FLAT, position=D(position), buying=D(buying), book_delta=D(-9))
    assert rule("4", exposure).units == D(allowed)


def test_a_position_over_its_limit_may_still_shrink() -> None:
    assert rule("-4", replace(FLAT, position=D(12))).units == -4


def test_delta_after_the_fill() -> None:
    assert rule("3", replace(FLAT, book_delta=D(4))).units == 0
    assert "delta after the fill would be 7" in rule("3", replace(FLAT, book_delta=D(4))).reason
    assert rule("-3", replace(FLAT, book_delta=D(12))).units == -3


def test_collar_around_the_index() -> None:
    ruling = rule("1", replace(FLAT, mark=D("102.1")))
    assert ruling.units == 0
    assert "2.10% from the index" in ruling.reason


def test_message_rate_counts_what_was_sent() -> None:
    busy = replace(FLAT, sent=(41 * SECOND, 99 * SECOND))
    assert "2 orders were sent within 60 s" in rule("1", busy).reason
    assert rule("1", replace(FLAT, sent=(39 * SECOND, 99 * SECOND))).units == 1


def test_halted_lets_nothing_out() -> None:
    assert rule("1", state=RiskState.HALTED).units == 0


def test_reducing_clips_an_oversized_hedge_and_refuses_what_grows() -> None:
    short = replace(FLAT, book_delta=D("-2.5004"))
    assert rule("4", short, REDUCING).units == D("2.500")
    assert rule("-1", short, REDUCING).units == 0
    assert "shrink" in rule("-1", short, REDUCING).reason
    assert rule("1", replace(short, buying=D("2.5")), REDUCING).units == 0


SIZES = st.decimals(-20, 20, places=3)


@given(SIZES, SIZES, SIZES)
def test_reducing_never_grows_delta_nor_changes_its_sign(wanted: Decimal, position: Decimal, book: Decimal) -> None:
    exposure = replace(FLAT, position=position, book_delta=book)
    before, after = book + position, book + position + rule(str(wanted), exposure, REDUCING).units
    assert abs(after) <= abs(before)
    assert before * after >= 0


@given(SIZES, SIZES, SIZES, st.sampled_from([ACTIVE, REDUCING]))
def test_never_more_than_wanted_and_within_the_limits(
    wanted: Decimal, position: Decimal, book: Decimal, state: RiskState
) -> None:
    units = rule(str(wanted), replace(FLAT, position=position, book_delta=book), state).units
    assert units * wanted >= 0
    assert abs(units) <= min(abs(wanted), LIMITS.max_order)
    assert abs(position + units) <= max(LIMITS.max_position, abs(position))
