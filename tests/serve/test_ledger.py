from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from serve.ledger import Ledger

UNITS = st.decimals(-100, 100, places=3)
PRICES = st.decimals("0.01", 200_000, places=8)
FEES = st.decimals(0, 1000, places=8)
CASH = st.decimals(-(10**6), 10**6, places=8)


@given(st.lists(st.tuples(UNITS, PRICES, FEES), max_size=20), st.lists(CASH, max_size=5), PRICES)
def test_worth_moves_by_profit_less_fees_and_by_nothing_else(
    fills: list[tuple[Decimal, Decimal, Decimal]], payments: list[Decimal], mark: Decimal
) -> None:
    ledger = Ledger()
    for units, price, fee in fills:
        ledger = ledger.filled(units, price, fee)
    for cash in payments:
        ledger = ledger.funded(cash).option_cash(-cash)
    profit = sum((units * (mark - price) for units, price, _ in fills), Decimal(0))
    assert ledger.worth(mark) == profit - sum((fee for *_, fee in fills), Decimal(0))
    assert ledger.position == sum((units for units, *_ in fills), Decimal(0))
    assert ledger.funding == -ledger.options == sum(payments, Decimal(0))


@given(UNITS, PRICES, PRICES)
def test_between_marks_worth_moves_by_the_position(units: Decimal, price: Decimal, mark: Decimal) -> None:
    ledger = Ledger().filled(units, price, Decimal("0.5"))
    assert ledger.worth(mark) - ledger.worth(price) == units * (mark - price)
