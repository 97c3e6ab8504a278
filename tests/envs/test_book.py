"""Nothing is made or lost in a book but trading P&L, costs, funding, premium and payoff."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from envs import book as books
from envs import costs
from envs.book import Book
from envs.contract import Contract
from envs.types import Quote

CONTRACT = Contract()
HOUR = 1 / 8760
prices = st.floats(1e-2, 1e6)
amounts = st.floats(-1e3, 1e3)
rates = st.floats(-5.0, 5.0)


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def quote(mark: float, funding_rate: float = 0.1) -> Quote:
    return Quote(*(column(v) for v in (mark * 1.001, mark, 1e-4, 2e6, funding_rate, 0.8)))


def holding(units: float, cash: float = 1000.0) -> Book:
    held = torch.full((1, 1), units, dtype=torch.float64)
    zero = torch.zeros_like(held)
    return Book(zero + cash, held, zero, zero, zero, zero)


def worth(book: Book, mark: float) -> float:
    return float(books.wealth(book, quote(mark), column(0.0)))


def test_opened_books_hold_the_premium_and_nothing_else() -> None:
    book = books.opened(column(70.0, 90.0), 3)
    assert book.cash.tolist() == [[70.0] * 3, [90.0] * 3]
    for field in fields(Book)[1:]:
        assert getattr(book, field.name).tolist() == [[0.0] * 3] * 2


def test_a_fill_by_hand() -> None:
    """Buying 20 units at a mark of 50,000 into a depth of 1e6, half-spread 1 bp, impact 2 bp, fee 5 bp."""
    market = Quote(*(column(v) for v in (50_000.0, 50_000.0, 1e-4, 1e6, 0.0, 0.8)))
    book = books.filled(holding(-5.0), market, column(20.0)[:, None], Contract(impact=2e-4, fee_rate=5e-4))
    assert float(book.units) == 15.0
    assert float(book.cash) == pytest.approx(1000 - 20 * 50_015 - 500.15, rel=1e-12)
    assert float(book.fees) == pytest.approx(500.15 + 20 * 15, rel=1e-9)
    assert float(book.traded) == pytest.approx(1e6, rel=1e-12)
    assert float(book.trades) == 1.0
    assert float(book.funding) == 0.0


@given(mark=prices, units=amounts, trade=amounts)
def test_a_trade_loses_exactly_the_costs_that_it_books(mark: float, units: float, trade: float) -> None:
    before = holding(units)
    after = books.filled(before, quote(mark), column(trade)[:, None], CONTRACT)
    rounding = 1e-13 * (1000 + mark * (abs(units) + 2 * abs(trade)))
    assert worth(after, mark) - worth(before, mark) == pytest.approx(-float(after.fees), abs=rounding)
    assert float(after.fees) >= 0
    assert float(after.units) == units + trade
    assert float(after.trades) == (trade != 0)
    assert float(after.traded) == pytest.approx(abs(trade) * mark, rel=1e-12)


@given(
    start=prices, steps=st.lists(st.tuples(st.floats(0.5, 2.0), st.floats(-10.0, 10.0), rates), min_size=1, max_size=8)
)
def test_wealth_changes_by_trading_profit_less_costs_and_funding(
    start: float, steps: list[tuple[float, float, float]]
) -> None:
    """Through any sequence of fills, funding payments and moves of the mark."""
    book, mark, profit, turnover = holding(0.0), start, 0.0, start
    for move, trade, rate in steps:
        book = books.filled(book, quote(mark), column(trade)[:, None], CONTRACT)
        book = books.funded(book, quote(mark, rate), 8 * HOUR)
        profit += float(book.units) * mark * (move - 1)
        mark *= move
        turnover += (abs(float(book.units)) + abs(trade)) * mark * 3
    expected = 1000 + profit - float(book.fees) - float(book.funding)
    assert worth(book, mark) == pytest.approx(expected, abs=1e-12 * (1000 + turnover))


@given(mark=prices, trade=st.floats(0.01, 1e3))
def test_a_round_trip_loses_exactly_two_fees_and_two_slippages(mark: float, trade: float) -> None:
    there = books.filled(holding(0.0), quote(mark), column(trade)[:, None], CONTRACT)
    back = books.filled(there, quote(mark), column(-trade)[:, None], CONTRACT)
    slip = float(costs.slippage(quote(mark), column(trade)[:, None], CONTRACT.impact))
    fees = CONTRACT.fee_rate * trade * mark * ((1 + slip) + (1 - slip))
    lost = 2 * slip * trade * mark + fees
    assert float(back.units) == 0.0
    assert 1000 - float(back.cash) == pytest.approx(lost, rel=1e-9, abs=1e-12 * (1000 + mark * trade))
    assert float(back.fees) == pytest.approx(lost, rel=1e-9)
    assert float(back.trades) == 2.0


@given(units=amounts, mark=prices, rate=rates)
def test_longs_pay_a_positive_rate_and_shorts_receive_it(units: float, mark: float, rate: float) -> None:
    book = books.funded(holding(units), quote(mark, rate), 8 * HOUR)
    paid = units * mark * rate * 8 * HOUR
    assert float(book.funding) == pytest.approx(paid, rel=1e-12)
    assert 1000 - float(book.cash) == pytest.approx(paid, rel=1e-9, abs=1e-9)
    assert float(book.units) == units


def test_funding_accrues_on_the_mark_in_proportion_to_time() -> None:
    """A year at 10 % on one unit marked at 50,000, in one piece and in 8,760."""
    at_once = books.funded(holding(1.0), quote(50_000.0), 1.0)
    assert float(at_once.funding) == pytest.approx(5000.0, rel=1e-12)
    hourly = holding(1.0)
    for _ in range(100):
        hourly = books.funded(hourly, quote(50_000.0), HOUR)
    assert float(hourly.funding) == pytest.approx(5000.0 * 100 * HOUR, rel=1e-12)


def test_settlement_pays_the_payoff_of_each_path_from_every_book_on_it() -> None:
    book = books.settled(books.opened(column(70.0, 90.0), 2), column(100.0, 0.0))
    assert book.cash.tolist() == [[-30.0, -30.0], [90.0, 90.0]]
    assert book.units.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_wealth_is_cash_and_perpetual_at_the_mark_less_the_liability() -> None:
    market = Quote(*(column(v, v) for v in (101.0, 99.0, 1e-4, 2e6, 0.1, 0.8)))
    book = books.opened(column(10.0, 20.0), 2)
    book = Book(book.cash, torch.tensor([[1.0, -1.0], [2.0, 0.0]]).double(), *list(vars(book).values())[2:])
    assert books.wealth(book, market, column(4.0, 5.0)).tolist() == [[105.0, -93.0], [213.0, 15.0]]


def test_where_chooses_whole_books_by_path() -> None:
    rows = torch.arange(24, dtype=torch.float64).view(6, 2, 2)
    one, other = Book(*rows), Book(*(-rows))
    chosen = books.where(torch.tensor([True, False]), one, other)
    for field, value in zip(fields(Book), rows, strict=True):
        assert getattr(chosen, field.name).tolist() == [value[0].tolist(), (-value[1]).tolist()]


def test_books_are_never_changed_in_place() -> None:
    before = holding(2.0)
    copy = [value.clone() for value in vars(before).values()]
    books.settled(
        books.funded(books.filled(before, quote(100.0), column(3.0)[:, None], CONTRACT), quote(100.0), 1.0), column(5.0)
    )
    assert [value.tolist() for value in vars(before).values()] == [value.tolist() for value in copy]
