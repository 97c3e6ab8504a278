from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from serve.ledger import Ledger

UNITS = st.decimals(-100, 100, places=3)
PRICES = st.decimals("0.01", 200_000, places=8)
FEES = st.decimals(0, 1000, places=8)
CASH = st.decimals(-(10**6), 10**6, places=8)
FILLS = st.tuples(st.sampled_from(["BTC-PERP", "ETH-PERP"]), UNITS, PRICES, FEES)


@given(st.lists(FILLS, max_size=20), st.lists(CASH, max_size=5), PRICES)
def test_worth_moves_by_profit_less_fees_and_by_nothing_else(
    fills: list[tuple[str, Decimal, Decimal, Decimal]], payments: list[Decimal], mark: Decimal
) -> None:
    """Each leg in an account of its own, and all of them in the cash."""
    ledger = Ledger()
    for fill in fills:
        ledger = ledger.filled(*fill)
    for cash in payments:
        ledger = ledger.funded("BTC-PERP", cash).booked(-cash).coined("BTC", cash)
    for symbol, paid in (("BTC-PERP", sum(payments, Decimal(0))), ("ETH-PERP", Decimal(0))):
        own = [(units, price, fee) for name, units, price, fee in fills if name == symbol]
        profit = sum((units * (mark - price) - fee for units, price, fee in own), Decimal(0))
        assert ledger.account(symbol).worth(mark) == profit + paid
        assert ledger.position(symbol) == sum((units for units, *_ in own), Decimal(0))
    assert ledger.cash == ledger.hedge_cash + ledger.book
    assert ledger.account("BTC-PERP").funding == -ledger.book == ledger.coins.get("BTC", Decimal(0))
