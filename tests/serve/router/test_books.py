"""Several books as one."""

from __future__ import annotations

from decimal import Decimal

import pytest

from serve.router.books import Level, Snapshot, together

D = Decimal


def book(time: int, bid: str, ask: str, mark: float = 100.0, funding_rate: float = 0.0) -> Snapshot:
    bids = (Level(D(bid), D(1)), Level(D(bid) - 1, D(2)))
    asks = (Level(D(ask), D(1)), Level(D(ask) + 1, D(2)))
    return Snapshot(time, bids, asks, mark, mark, funding_rate)


def test_levels_are_in_order_and_those_at_one_price_are_one() -> None:
    one = together([book(5, "99", "101"), book(3, "98", "102")])
    assert one.bids == (Level(D(99), D(1)), Level(D(98), D(3)), Level(D(97), D(2)))
    assert one.asks == (Level(D(101), D(1)), Level(D(102), D(3)), Level(D(103), D(2)))
    assert one.time == 3
    assert one.side(buying=True) == one.asks


def test_an_odd_one_out_does_not_move_the_middle() -> None:
    one = together([book(1, "99", "101", mark, rate) for mark, rate in ((100.0, 0.1), (101.0, 0.2), (150.0, -9.0))])
    assert (one.mark, one.index, one.funding_rate) == (101.0, 101.0, 0.1)


def test_no_book_is_no_view() -> None:
    with pytest.raises(ValueError, match="no book"):
        together([])
