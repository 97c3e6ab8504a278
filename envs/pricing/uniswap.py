"""Value and greeks of a liquidity position in an automated market maker, in quote currency.

Adams et al., Uniswap v3 Core (2021): a position of liquidity L over the prices [lower, upper] holds
x = L·(1/√p − 1/√upper) of base and y = L·(√p − √lower) of quote, p the spot held within the range (eq. 6.29 and 6.30;
the invariant is eq. 2.2). Its value V = S·x + y has the slope x, since a pool always trades at its own price.
The constant product of Adams, Zinsmeister and Robinson, Uniswap v2 Core (2020), is the range [0, ∞]: V = 2L√S.
All arguments broadcast; prices in quote currency per base unit, `liquidity` in √(base·quote).
"""

from __future__ import annotations

import torch
from torch import Tensor

from envs.types import Greeks

Bound = float | Tensor


def amounts(spot: Tensor, liquidity: Tensor, lower: Bound = 0.0, upper: Bound = torch.inf) -> tuple[Tensor, Tensor]:
    """(base, quote) held: all base at or below the range, all quote at or above it."""
    root, floor, ceiling = _roots(spot, lower, upper)
    kept = root.clamp(min=torch.finfo(spot.dtype).tiny ** 0.5)
    return liquidity * (1 / kept - 1 / ceiling), liquidity * (root - floor)


def greeks(spot: Tensor, liquidity: Tensor, lower: Bound = 0.0, upper: Bound = torch.inf) -> Greeks:
    """Value S·x + y, delta x, gamma −L/(2·S^{3/2}) in the range and 0 outside; no vega, no theta.

    At S = 0 the value is 0, and gamma of an unbounded range −∞.
    """
    base, quote = amounts(spot, liquidity, lower, upper)
    curvature = torch.where(in_range(spot, lower, upper), -liquidity / (2 * spot * spot.sqrt()), 0.0)
    value = spot * base + quote
    return Greeks(value, base, curvature, torch.zeros_like(value), torch.zeros_like(value))


def liquidity(notional: Tensor, spot: Tensor, lower: Bound = 0.0, upper: Bound = torch.inf) -> Tensor:
    """The liquidity that `notional` of quote currency buys at `spot`."""
    base, quote = amounts(spot, torch.ones_like(spot), lower, upper)
    return notional / (spot * base + quote)


def in_range(spot: Tensor, lower: Bound = 0.0, upper: Bound = torch.inf) -> Tensor:
    """Whether the position earns fees: lower ≤ S < upper."""
    return (spot >= lower) & (spot < upper)


def fees(volume: Tensor, fee_rate: Tensor | float, share: Tensor, inside: Tensor) -> Tensor:
    """Quote currency earned on `volume` (quote currency) that the pool trades while `inside` the position's range.

    Pro rata to `share`, its part of the liquidity active at the price, its own included (v3 Core, §6.2.2 and 6.4.1).
    """
    return volume * fee_rate * share * inside


def _roots(spot: Tensor, lower: Bound, upper: Bound) -> tuple[Tensor, Tensor, Tensor]:
    """√p, √lower and √upper, with p the spot held within the range."""
    floor, ceiling = (
        (bound.to(spot) if isinstance(bound, Tensor) else spot.new_full((), bound)).sqrt() for bound in (lower, upper)
    )
    return torch.minimum(torch.maximum(spot.sqrt(), floor), ceiling), floor, ceiling
