"""How a hedge is worked: slices that shrink as the market strains, and a price that no order goes beyond."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from serve.config import Bands, Execution, Ramp
from serve.exposure import exact
from serve.limits import TICK
from serve.market import Market
from serve.state import State


@dataclass(frozen=True)
class Climate:
    """Of one asset: filtered volatility over its reference, and shock intensity over its calm level."""

    volatility: float
    intensity: float

    @classmethod
    def of(cls, state: State, market: Market, asset: str) -> Climate:
        past = state.pasts[asset]
        reference = market.calibrations[market.assets[asset]].reference_volatility
        return cls(past.volatility / reference, past.intensity)


@dataclass(frozen=True)
class Collar:
    """No price beyond this share of what the asset is worth."""

    around: Decimal
    share: Decimal


def strain(ramp: Ramp, climate: Climate) -> float:
    """0 up to the calm readings, 1 from the stress readings on, in logarithms between; the worse of the two counts."""
    ends = (
        (climate.volatility, ramp.calm_volatility, ramp.stress_volatility),
        (climate.intensity, ramp.calm_intensity, ramp.stress_intensity),
    )
    return max(min(1.0, max(0.0, math.log(now / calm) / math.log(stress / calm))) for now, calm, stress in ends)


def width(bands: Bands, climate: Climate) -> float:
    """Of the analytic hedge's band, over its tuned half-width: geometrically from calm to stress."""
    share = strain(bands, climate)
    return math.exp((1 - share) * math.log(bands.calm_width) + share * math.log(bands.stress_width))


def shrunk(execution: Execution, climate: Climate) -> Decimal:
    """Share of sizes that is left: 1 when calm."""
    return 1 - (1 - exact(execution.stress_share)) * exact(strain(execution, climate))


def slice_size(execution: Execution, state: State, market: Market, symbol: str) -> Decimal:
    """The most of a leg that one order takes from the depth at hand: whole lots, at least one."""
    asset = market.asset_of[symbol]
    valuation, lot, mark = state.valuations[asset], market.lot(symbol), state.mark(symbol)
    if mark < TICK:
        return lot
    share = exact(execution.depth_share) * shrunk(execution, Climate.of(state, market, asset))
    units = exact(valuation.depths[symbol]) * share / mark
    return max(lot, (units / lot).to_integral_value(ROUND_DOWN) * lot)


def limit_price(
    execution: Execution, state: State, market: Market, symbol: str, units: Decimal, collar: Collar
) -> Decimal:
    """The worst price: the stated slippage from the mark, and for a linear leg within the collar."""
    mark, sign = state.mark(symbol), Decimal(1).copy_sign(units)
    if not market.linear(symbol):
        return (mark * (1 + sign * exact(execution.option_slippage))).quantize(TICK)
    by_mark, collared = mark * (1 + sign * exact(execution.slippage)), collar.around * (1 + sign * collar.share)
    return (min(by_mark, collared) if units > 0 else max(by_mark, collared)).quantize(TICK)
