"""What a lot costs at a venue, by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.clock import HOUR, SECOND, YEAR
from serve.router.books import Level, Snapshot
from serve.router.costs import Horizon, Terms, Want, offer, resting
from serve.router.split import Run

D = Decimal
NOW = 1_700_000_000_000
BOOK = Snapshot(
    time=NOW,
    bids=(Level(D(99), D(2)), Level(D(98), D(5))),
    asks=(Level(D(101), D(2)), Level(D(102), D(5))),
    mark=100.0,
    index=100.0,
    funding_rate=0.0,
)
PLAIN = Terms("okx", fee=0.0, gas=0.0, latency=0.0, kept=1.0, held=D(0), grows=True)
NOTHING = Horizon(holding=24.0 * HOUR, volatility=0.0, capital=0.0)
BUY = Want(True, D(1000), D(1), reduce_only=False)
SELL = Want(False, D(1), D(1), reduce_only=False)


def first(
    terms: Terms = PLAIN, book: Snapshot = BOOK, horizon: Horizon = NOTHING, want: Want = BUY, now: int = NOW
) -> float:
    """Cost of the first lot."""
    return offer(terms, book, horizon, want, now).runs[0].cost


def test_levels_become_lots_at_their_distance_from_the_worth() -> None:
    assert offer(PLAIN, BOOK, NOTHING, BUY, NOW).runs == (Run(1.0, 2), Run(2.0, 5))
    assert offer(PLAIN, BOOK, NOTHING, SELL, NOW).runs == (Run(1.0, 2), Run(2.0, 5))


def test_a_lot_that_straddles_levels_costs_what_its_parts_do() -> None:
    lots = offer(PLAIN, BOOK, NOTHING, replace(BUY, lot=D("1.5")), NOW)
    assert lots.runs == (Run(1.5, 1), Run(0.5 * 1 + 1.0 * 2, 1), Run(3.0, 2))  # 7 units: 1.0 of a lot is left over


def test_what_is_beyond_the_limit_is_not_offered() -> None:
    assert offer(PLAIN, BOOK, NOTHING, replace(BUY, limit=D(101)), NOW).lots == 2
    assert offer(PLAIN, BOOK, NOTHING, replace(SELL, limit=D("98.5")), NOW).lots == 2
    assert offer(PLAIN, BOOK, NOTHING, replace(SELL, limit=D(100)), NOW).lots == 0


def test_fees_are_paid_on_either_side_and_gas_once() -> None:
    dear = replace(PLAIN, fee=0.01, gas=3.0)
    assert first(dear) == pytest.approx(1 + 1.01)
    assert first(dear, want=SELL) == pytest.approx(1 + 0.99)
    assert offer(dear, BOOK, NOTHING, BUY, NOW).fixed == 3.0


def test_longs_pay_the_funding_until_the_hedge_ends_and_shorts_receive_it() -> None:
    paying = replace(BOOK, funding_rate=0.365)
    day = 100 * 0.365 / 365
    assert first(book=paying) == pytest.approx(1 + day)
    assert first(book=paying, want=SELL) == pytest.approx(1 - day)


def test_of_a_premium_what_vanishes_is_lost_to_who_buys() -> None:
    """Mark 100, index 98: with a quarter of the basis kept, a unit is worth 98.5."""
    premium = replace(BOOK, index=98.0)
    assert first(replace(PLAIN, kept=0.25), premium) == pytest.approx(101 - 98.5)
    assert first(replace(PLAIN, kept=0.25), premium, want=SELL) == pytest.approx(98.5 - 99)


@pytest.mark.parametrize("want", [BUY, SELL])
def test_latency_and_age_cost_the_unfavourable_half_of_the_move(want: Want) -> None:
    """E[max(X, 0)] of X ~ N(0, s²) is s / √(2π)."""
    horizon = replace(NOTHING, volatility=0.8)
    moved = 100 * 0.8 * math.sqrt(3 * SECOND / YEAR) / math.sqrt(2 * math.pi)
    slow = first(replace(PLAIN, latency=2_000.0), horizon=horizon, want=want, now=NOW + SECOND)
    assert slow == pytest.approx(1 + moved, rel=1e-12)


def test_capital_is_asked_for_what_makes_the_position_larger() -> None:
    short, horizon = replace(PLAIN, held=D(-3)), replace(NOTHING, capital=3.65)
    assert offer(short, BOOK, horizon, BUY, NOW).runs == (Run(1.0, 2), Run(2.0, 1), Run(3.0, 4))
    assert offer(short, BOOK, horizon, SELL, NOW).runs == (Run(2.0, 2), Run(3.0, 5))


def test_a_reduce_only_order_is_offered_what_there_is_to_reduce() -> None:
    reduce = replace(BUY, reduce_only=True)
    assert offer(replace(PLAIN, held=D(-3)), BOOK, NOTHING, reduce, NOW).runs == (Run(1.0, 2), Run(2.0, 1))
    assert offer(replace(PLAIN, held=D(3)), BOOK, NOTHING, reduce, NOW).lots == 0


def test_where_nothing_may_grow_only_what_shrinks_is_offered() -> None:
    full = replace(PLAIN, held=D(-3), grows=False)
    assert offer(full, BOOK, NOTHING, BUY, NOW).lots == 3
    assert offer(full, BOOK, NOTHING, SELL, NOW).lots == 0


def test_a_resting_order_costs_its_limit_and_the_fee() -> None:
    maker = replace(PLAIN, fee=-0.0001)
    assert resting(maker, BOOK, NOTHING, replace(BUY, limit=D(99))) == pytest.approx(-1 - 0.0099)


LEVELS = st.lists(
    st.tuples(st.decimals("0.01", 50, places=2), st.decimals("0.001", 3, places=3)), min_size=1, max_size=8
)


@given(
    levels=LEVELS,
    lot=st.sampled_from([D("0.01"), D("0.3"), D(1)]),
    held=st.decimals(-3, 3, places=2),
    buying=st.booleans(),
)
def test_costs_never_fall_and_no_lot_is_lost(levels: list[tuple[D, D]], lot: D, held: D, buying: bool) -> None:
    ladder = tuple(Level(price, units) for price, units in sorted(dict(levels).items(), reverse=not buying))
    book = replace(BOOK, asks=ladder, bids=ladder)
    want = Want(buying, D(1000) if buying else D(0), lot, reduce_only=False)
    made = offer(replace(PLAIN, fee=0.001, held=held), book, replace(NOTHING, capital=0.1), want, NOW)
    assert made.lots == sum(level.units for level in ladder) // lot
    assert all(later.cost >= run.cost - 1e-9 for run, later in zip(made.runs, made.runs[1:], strict=False))
