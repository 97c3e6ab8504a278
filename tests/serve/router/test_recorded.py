"""The split on recorded books: never dearer than the better venue, and what the recording says is what it costs."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from benchmarks.router import FEE, KNOTS, cost, offers, orders, rebuilt, snapshots
from serve.router.books import Snapshot
from serve.router.split import split

ROW = {
    "bid": 99.99,
    "ask": 100.01,
    **{
        f"{side}_slip_bps_{knot}": slip
        for side in ("bid", "ask")
        for knot, slip in zip(KNOTS, (1.0, 2.0, 6.0), strict=True)
    },
    **{f"{side}_depth_usd_50bp": 20e6 for side in ("bid", "ask")},
}


@pytest.fixture(scope="module")
def seconds() -> list[dict[str, Snapshot]]:
    """Every tenth second."""
    return list(islice(snapshots(), 0, None, 10))


@pytest.mark.parametrize("buying", [True, False])
@pytest.mark.parametrize(("size", "slip"), [(0.1e6, 1.0), (1e6, 2.0), (5e6, 6.0)])
def test_a_rebuilt_book_costs_what_was_recorded(size: float, slip: float, buying: bool) -> None:
    """In basis points of the notional at the middle; of the fee what is paid on the slippage, and a lot's rounding."""
    (offer,) = offers({"linear": rebuilt(ROW, 0)}, buying)
    found = cost(offer, round(size / 100 / 0.001)) / size * 1e4
    assert found == pytest.approx(slip + FEE * 1e4, abs=FEE * slip + 1e-3)


@pytest.mark.parametrize("size", KNOTS.values())
def test_it_is_never_dearer_than_the_best_single_venue(seconds: list[dict[str, Snapshot]], size: float) -> None:
    paid = list(orders(seconds, size))
    assert len(paid) == 2 * (len(seconds) - 1) >= 60
    assert all(each.saved >= -1e-9 for each in paid)


def test_a_large_order_saves_on_two_books(seconds: list[dict[str, Snapshot]]) -> None:
    paid = list(orders(seconds, 5e6))
    assert np.mean([each.saved for each in paid]) > 0.3
    assert np.mean([each.several for each in paid]) > 0.9


def test_all_lots_are_placed(seconds: list[dict[str, Snapshot]]) -> None:
    assert all(split(offers(books, True), 80_000).filled == 80_000 for books in seconds)
    assert np.isfinite([book.mark for books in seconds for book in books.values()]).all()
