"""Collateral that persons sent to the paper venue: it is there when they said that it would be."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from serve.events import CollateralMoved
from serve.ledger import ZERO
from serve.margining import leg_of
from serve.market import Market
from serve.state import State


def posted(core: State, market: Market, symbol: str, now: int) -> Decimal:
    """Counted with the leg's account, since the book was last empty."""
    own = (each.amount for each in _due(core, now) if leg_of(market, each.account) == symbol)
    return core.opening.posted.get(symbol, ZERO) + sum(own, ZERO)


def deposited(core: State | None, now: int) -> Decimal:
    """Ever."""
    if core is None or core.venue.cash_start is None:
        return ZERO
    return core.venue.cash_start + sum((each.amount for each in _due(core, now)), ZERO)


def _due(core: State, now: int) -> Iterator[CollateralMoved]:
    return (each for each in core.care.awaited if each.expected <= now)
