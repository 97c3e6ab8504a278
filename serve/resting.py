"""Orders that rest at the touch while the market is calm: which may, at what price, and when one is withdrawn."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from serve.commands import CancelOrder, Output
from serve.config import Execution
from serve.executing import Climate, strain
from serve.exposure import exact
from serve.limits import TICK
from serve.market import Market
from serve.orders import Status
from serve.state import State
from serve.states import RiskState

HEDGES = ("policy", "last_good", "fallback")  # decisions that are in no hurry


def rests(execution: Execution, state: State, market: Market, symbol: str, source: str) -> bool:
    """Whether the leg's next order may wait: not under strain, and not after one that waited in vain."""
    if execution.resting_seconds == 0 or source not in HEDGES or state.risk >= RiskState.REDUCING:
        return False
    own = [each for each in state.orders.values() if each.symbol == symbol]
    waited = bool(own) and own[-1].rests and own[-1].status is not Status.FILLED
    return not waited and strain(execution, Climate.of(state, market, market.asset_of[symbol])) == 0


def touch(state: State, market: Market, symbol: str, units: Decimal) -> Decimal:
    """The best price of the order's own side."""
    half_spread = exact(state.valuations[market.asset_of[symbol]].half_spreads[symbol])
    return (state.mark(symbol) * (1 - half_spread.copy_sign(units))).quantize(TICK)


def withdrawn(state: State, market: Market, doubt: str | None) -> tuple[State, list[Output]]:
    """Cancels of what rests although a decision on its asset is owed, or the market's data are doubted."""
    stale = {
        order.id: replace(order, withdrawn=True)
        for order in state.in_flight
        if order.rests and not order.withdrawn and (doubt is not None or market.asset_of[order.symbol] in state.due)
    }
    if not stale:
        return state, []
    return replace(state, orders={**state.orders, **stale}), [CancelOrder(state.time, name) for name in stale]
