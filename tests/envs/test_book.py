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
from envs.costs import Execution, Fill, Schedule, Tradable
from tests.envs.worlds import F64, tensor

PLAIN = Execution(gas=3.0)
prices = st.floats(1e-2, 1e6)
amounts = st.floats(-1e3, 1e3)
incomes = st.floats(-5.0, 5.0)


def fill(mark: float, trade: float, traded: float = 0.0, **settings: float) -> Fill:
    schedule = Schedule.of([PLAIN.model_copy(update=settings)], F64, torch.device("cpu"))
    market = Tradable(*(tensor(v)[None] for v in (mark, 1e-4, 2e6, 0.0)))
    return costs.fills(schedule, market, tensor(trade).view(1, 1, 1), tensor(traded).view(1, 1, 1))


def holding(*units: float, claims: float = 1000.0) -> Book:
    book = books.opened(tensor(claims), 1, len(units))
    return Book(**{**vars(book), "units": tensor(*units).view(1, 1, -1)})


def column(*values: float) -> Tensor:
    """(1, K)."""
    return tensor(*values)[None]


def worth(book: Book, *marks: float) -> float:
    return float(books.wealth(book, column(*marks), tensor(0.0)))


def test_opened_books_hold_the_premium_and_nothing_else() -> None:
    book = books.opened(tensor(70.0, 90.0), 3, 2)
    assert book.claims.tolist() == [[70.0] * 3, [90.0] * 3]
    for name in ("cash", "units", "traded", "liquidated"):
        assert getattr(book, name).tolist() == [[[0.0] * 2] * 3] * 2
    for name in ("fees", "slippage", "funding", "trades"):
        assert getattr(book, name).tolist() == [[0.0] * 3] * 2
    assert len(fields(Book)) == 9


def test_a_fill_by_hand() -> None:
    """Buying 20 units at a mark of 50,000 into a depth of 1e6: half-spread 1 bp, impact 2 bp, fee 5 bp, gas 3."""
    schedule = Schedule.of([PLAIN], F64, torch.device("cpu"))
    market = Tradable(*(column(v) for v in (50_000.0, 1e-4, 1e6, 0.0)))
    trade = tensor(20.0).view(1, 1, 1)
    book = books.filled(holding(-5.0), costs.fills(schedule, market, trade, trade * 0), market.mark)
    assert float(book.units) == 15.0
    assert float(book.cash) == pytest.approx(-20 * 50_015 - 500.15 - 3, rel=1e-12)
    assert float(book.claims) == 1000.0
    assert float(book.fees) == pytest.approx(503.15, rel=1e-9)
    assert float(book.slippage) == pytest.approx(20 * 15, rel=1e-9)
    assert float(book.traded) == pytest.approx(1e6, rel=1e-12)
    assert float(book.trades) == 1.0
    assert float(book.funding) == 0.0


@given(mark=prices, units=amounts, trade=amounts)
def test_a_trade_loses_exactly_the_costs_that_it_books(mark: float, units: float, trade: float) -> None:
    before = holding(units)
    after = books.filled(before, fill(mark, trade), column(mark))
    rounding = 1e-13 * (1000 + mark * (abs(units) + 2 * abs(trade)))
    cost = float(after.fees + after.slippage)
    assert worth(after, mark) - worth(before, mark) == pytest.approx(-cost, abs=rounding)
    assert float(after.fees) >= 0
    assert float(after.slippage) >= 0
    assert float(after.units) == units + trade
    assert float(after.trades) == (trade != 0)
    assert float(after.traded) == pytest.approx(abs(trade) * mark, rel=1e-12)


@given(
    start=prices,
    steps=st.lists(st.tuples(st.floats(0.5, 2.0), st.floats(-10.0, 10.0), incomes), min_size=1, max_size=8),
)
def test_wealth_changes_by_trading_profit_less_costs_and_funding(
    start: float, steps: list[tuple[float, float, float]]
) -> None:
    """Through any sequence of fills, income and moves of the mark, beside an account kept in plain numbers."""
    book, mark, turnover = holding(0.0), start, start
    held = profit = funding = 0.0
    for move, trade, rate in steps:
        book = books.filled(book, fill(mark, trade, float(book.traded)), column(mark))
        held += trade
        book = books.carried(book, column(rate * mark))
        funding -= held * rate * mark
        profit += held * mark * (move - 1)
        mark *= move
        turnover += (abs(held) + abs(trade)) * mark * 8
    rounding = 1e-12 * (1000 + turnover)
    assert float(book.funding) == pytest.approx(funding, abs=rounding)
    expected = 1000 + profit - float(book.fees + book.slippage) - funding
    assert worth(book, mark) == pytest.approx(expected, abs=rounding)


@given(mark=prices, trade=st.floats(0.01, 1e3))
def test_a_round_trip_loses_exactly_two_fees_and_two_slippages(mark: float, trade: float) -> None:
    there, back = fill(mark, trade, gas=0.0), fill(mark, -trade, gas=0.0)
    book = books.filled(books.filled(holding(0.0), there, column(mark)), back, column(mark))
    slip = float(there.slippage) / (trade * mark)
    lost = 2 * slip * trade * mark + 5e-4 * trade * mark * ((1 + slip) + (1 - slip))
    assert float(book.units) == 0.0
    assert -float(book.cash) == pytest.approx(lost, rel=1e-9, abs=1e-12 * mark * trade)
    assert float(book.trades) == 2.0


@given(units=amounts, income=incomes)
def test_funding_is_the_income_that_a_position_pays_away(units: float, income: float) -> None:
    book = books.carried(holding(units), column(income))
    assert float(book.funding) == -units * income
    assert float(book.cash) == units * income
    assert float(book.units) == units


def test_instruments_keep_accounts_of_their_own() -> None:
    """The second earns what the first does not see; fees, funding and fills add up."""
    book = books.carried(holding(2.0, -3.0), column(1.0, 10.0))
    assert book.cash.tolist() == [[[2.0, -30.0]]]
    assert float(book.funding) == 28.0
    assert books.earned(book, column(100.0, 7.0)).tolist() == [[[202.0, -51.0]]]
    assert worth(book, 100.0, 7.0) == 1000 + 202 - 51


def test_what_claims_bring_goes_to_every_hedger_of_their_path() -> None:
    book = books.credited(books.opened(tensor(70.0, 90.0), 2, 1), tensor(-100.0, 0.0))
    assert book.claims.tolist() == [[-30.0, -30.0], [90.0, 90.0]]


@given(units=amounts, share=st.floats(0, 1), price=prices)
def test_a_closure_turns_a_share_of_each_position_into_its_price(units: float, share: float, price: float) -> None:
    before = holding(units, 5.0)
    after = books.closed(before, tensor(share, 0.0), column(price, 9.0)[:, None])
    assert worth(after, price, 9.0) == pytest.approx(worth(before, price, 9.0), rel=1e-12, abs=1e-9)
    assert after.units[0, 0].tolist() == pytest.approx([units * (1 - share), 5.0], rel=1e-9, abs=1e-9)
    assert float(after.trades) == 0.0
    assert float(after.fees) == 0.0


def test_wealth_is_cash_and_hedges_at_the_mark_and_the_claims() -> None:
    book = books.opened(tensor(10.0, 20.0), 2, 1)
    held = tensor(1.0, -1.0, 2.0, 0.0).view(2, 2, 1)
    book = Book(**{**vars(book), "units": held, "cash": held})
    assert books.wealth(book, tensor(99.0, 99.0)[:, None], tensor(-4.0, -5.0)[:, None]).tolist() == [
        [106, -94],
        [215, 15],
    ]


def test_books_are_never_changed_in_place() -> None:
    before = holding(2.0)
    copy = [value.clone() for value in vars(before).values()]
    book = books.filled(before, fill(100.0, 3.0), column(100.0))
    books.credited(books.closed(books.carried(book, column(1.0)), tensor(0.5), tensor(100.0)), tensor(5.0))
    assert [value.tolist() for value in vars(before).values()] == [value.tolist() for value in copy]
