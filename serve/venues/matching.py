"""Orders against the paper venue's book, by the simulator's own fill model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, Decimal

import torch
from torch import Tensor

from envs import costs
from envs.costs import Fill, Schedule, Tradable
from serve.commands import SubmitOrder
from serve.holdings import DTYPE
from serve.market import DEVICE, one
from serve.venues.screen import Screen

CENT_PARTS = Decimal("1e-8")


@dataclass(frozen=True)
class Trade:
    units: Decimal  # bought; sold is negative
    price: Decimal
    fee: Decimal


@dataclass(frozen=True)
class Resting:
    """A limit order in the book. `left` to fill; `ahead`: quote currency that trades before it."""

    order: SubmitOrder
    left: Decimal
    ahead: float
    fills: int = 0


class Matcher:
    """`traded`: the account's notional so far in the leg, which sets the fee tier."""

    def __init__(self, screen: Screen) -> None:
        self._screen, self._market = screen, screen.market
        hedges = zip(self._market.symbols, self._market.contract.hedges, strict=True)
        self._schedules = {symbol: Schedule.of([hedge.execution], DTYPE, DEVICE) for symbol, hedge in hedges}

    def rejected(self, symbol: str, uniform: float) -> bool:
        """By a busy venue; `uniform` in [0, 1)."""
        return bool(costs.rejected(self._schedules[symbol], self._congestion(symbol), one(uniform)))

    def late(self, symbol: str, uniform: float) -> bool:
        """Whether an order with the same draw fills at the end of the bar."""
        return bool(costs.late(self._schedules[symbol], self._congestion(symbol), one(uniform)))

    def taken(self, order: SubmitOrder, units: Decimal, traded: Decimal) -> Trade | None:
        """The most whole lots of `units` that fill at once within the book's depth and, on average, the limit."""
        tradable, schedule = self._screen.tradable(order.symbol, order.time), self._schedules[order.symbol]
        lot, sign = self._market.lot(order.symbol), 1 if units > 0 else -1

        def tried(lots: int) -> Trade:
            return _trade(costs.fills(schedule, tradable, _cell(sign * lots * lot), _cell(traded)), sign * lots * lot)

        def fits(lots: int) -> bool:
            return (tried(lots).price - order.limit) * sign <= 0

        most = self._deep(schedule, tradable, units, lot)
        if most == 0 or not fits(1):
            return None
        if fits(most):
            return tried(most)
        low, high = 1, most
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        return tried(low)

    def crosses(self, order: SubmitOrder) -> bool:
        """Whether a limit order would trade at once."""
        tradable = self._screen.tradable(order.symbol, order.time)
        half_spread = float(tradable.half_spread) * (1 if order.units > 0 else -1)
        return (float(order.limit) - float(tradable.mark) * (1 + half_spread)) * (1 if order.units > 0 else -1) >= 0

    def queued(self, order: SubmitOrder) -> Resting:
        """At the end of the queue: all that rests on its side trades before it."""
        return Resting(order, order.units, float(self._screen.tradable(order.symbol, order.time).depth))

    def passed(self, resting: Resting, now: int) -> tuple[Resting, Decimal]:
        """The order after the last quote, and the units of it that filled.

        A market that went a fraction x beyond the limit has traded depth·(x / impact)² there, by the impact law that
        our own orders pay (Tóth et al. 2011, Phys. Rev. X 1, 021006); the queue ahead has it first.
        """
        order, lot = resting.order, self._market.lot(resting.order.symbol)
        reach = self._screen.reach(order.symbol, now, order.units > 0)
        beyond = (float(order.limit) - reach) / float(order.limit) * (1 if order.units > 0 else -1)
        if beyond <= 0:
            return resting, Decimal(0)
        depth = float(self._screen.tradable(order.symbol, now).depth)
        impact = max(float(self._schedules[order.symbol].impact), 1e-9)
        volume = depth * (beyond / impact) ** 2
        room = Decimal(max(0.0, volume - resting.ahead)) / order.limit
        units = min(abs(resting.left), (room / lot).to_integral_value(ROUND_DOWN) * lot).copy_sign(order.units)
        return replace(resting, ahead=max(0.0, resting.ahead - volume)), units

    def made(self, order: SubmitOrder, units: Decimal, traded: Decimal) -> Trade:
        """A resting order's fill: at its limit, for the maker's fee."""
        tradable = self._screen.tradable(order.symbol, order.time)
        at = replace(tradable, mark=torch.full_like(tradable.mark, float(order.limit)))
        schedule = self._schedules[order.symbol]
        whole = replace(schedule, passive_share=torch.ones_like(schedule.passive_share), passive=True, partial=False)
        calm = replace(at, congestion=torch.zeros_like(at.congestion))
        return _trade(costs.fills(whole, calm, _cell(units), _cell(traded)), units)

    def _congestion(self, symbol: str) -> Tensor:
        return one(self._screen.quote(symbol).congestion)

    @staticmethod
    def _deep(schedule: Schedule, tradable: Tradable, units: Decimal, lot: Decimal) -> int:
        """Whole lots that the depth allows."""
        most = costs.fills(schedule, tradable, _cell(units), _cell(Decimal(0))).units.item()
        allowed = units if most == float(units) else Decimal(most)
        return int((abs(allowed) / lot).to_integral_value(ROUND_DOWN))


def decimal(value: float) -> Decimal:
    return Decimal(value).quantize(CENT_PARTS)


def _trade(fill: Fill, units: Decimal) -> Trade:
    return Trade(units, decimal(float(fill.price)), decimal(float(fill.fee + fill.gas)))


def _cell(value: Decimal) -> Tensor:
    """(1, 1, 1)."""
    return one(float(value))[:, None, None]
