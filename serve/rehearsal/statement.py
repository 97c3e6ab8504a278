"""What an account has at the exchange, whole, for whoever checks that nothing was lost."""

from __future__ import annotations

from typing import Any

from serve.rehearsal.exchange import Exchange


def statement(exchange: Exchange, name: str) -> dict[str, Any]:
    """Orders, positions and coins, worth; `conserved`: all balances of the exchange together are 0 in each currency."""
    account = exchange.account(name)
    currencies = {exchange.rules.currency, *(each.currency for each in account.balances)}
    coins = {
        each.currency: str(each.amount)
        for each in account.balances
        if each.amount != 0 and each.currency != exchange.rules.currency
    }
    return {
        "now": exchange.now,
        "orders": [
            {
                "id": each.order_id,
                "client_id": each.client_id,
                "instrument": each.instrument,
                "units": str(each.units),
                "filled": str(each.filled),
                "status": each.status,
            }
            for each in exchange.orders(name)
        ],
        "positions": {each.instrument: str(each.units) for each in account.positions} | coins,
        "fills": len(exchange.fills(name)),
        "equity": str(account.equity),
        "reserved": str(sum(each.reserved for each in account.balances)),
        "conserved": all(exchange.total(currency) == 0 for currency in sorted(currencies)),
    }
