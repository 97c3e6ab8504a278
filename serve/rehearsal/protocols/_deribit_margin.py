"""What an account is worth and must hold, as Deribit tells it: a summary for each currency."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from serve.rehearsal.exchange import Exchange
from serve.rehearsal.protocols import _deribit as spelt
from serve.rehearsal.types import ZERO
from serve.rehearsal.views import Position


def portfolios(exchange: Exchange, account: str) -> list[dict[str, Any]]:
    """A line a currency. With cross collateral, which is having another currency than the exchange's, each has the
    margins of all together, counted in it.
    """
    own, currency = exchange.account(account), exchange.rules.currency
    margins = {name: getattr(own, name) for name in ("margin_balance", "initial_margin", "maintenance_margin")}
    cross = any(held.currency != currency for held in own.balances)
    model: dict[str, Any] = {
        "cross_collateral_enabled": cross,
        "portfolio_margining_enabled": False,
        "margin_model": "cross_sm" if cross else "segregated_sm",
    }
    if cross:
        model |= {f"total_{name}_usd": spelt.number(value) for name, value in {**margins, "equity": own.equity}.items()}
    told = []
    for held in own.balances:
        worth = _worth(own.positions if held.currency == currency else (), exchange)
        line = {"balance": held.amount, "equity": held.amount + sum(worth.values()), **worth}
        for name, value in {**margins, "available_funds": own.available}.items():
            line[name] = value / held.price if held.price else ZERO
        told.append({"currency": held.currency, **{name: spelt.number(value) for name, value in line.items()}, **model})
    return told


def _worth(positions: Iterable[Position], exchange: Exchange) -> dict[str, Decimal]:
    worth = {"futures_session_upl": ZERO, "options_value": ZERO}
    for own in positions:
        if exchange.instrument(own.instrument).kind == "option":
            worth["options_value"] += own.units * own.mark
        else:
            worth["futures_session_upl"] += own.unrealised
    return worth
