"""Liquidation cascades: sudden moves whose hazard is excited by moves that anyone can see, and fed by calm.

Hawkes (1971), Biometrika 58, 83, with the excitation driven by observed returns, so that the intensity is a function
of past quotes alone; `calibration.Shocks` has the formulae. Sizes are in standard deviations of the bar: the law of a
cascade takes the place of the ordinary shock's, which ends where cascades begin.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from envs.calibration import Liquidity, Shocks
from envs.types import HOUR

QUADRATURE = 4096  # points of a cascade's size
RAREST = 1e-6  # of sizes: bounds them


def excited(shocks: Shocks, excitement: Tensor, standardised_return: Tensor, bar: float) -> Tensor:
    """x after a bar of `bar` years with the given return in filtered standard deviations."""
    beyond = (standardised_return.abs() - shocks.threshold).clamp(min=0)
    return excitement * math.exp(-_decay(shocks) * bar) + beyond


def probability(shocks: Shocks, excitement: Tensor, calm: Tensor, bar: float) -> Tensor:
    """That a cascade comes within a bar of `bar` years; `calm` is reference over filtered variance."""
    rate = (shocks.base_rate + shocks.excitation * excitement) * torch.exp(shocks.leverage / 2 * calm.log())
    return -torch.expm1(-rate * bar)


def sizes(shocks: Shocks, uniform: Tensor) -> Tensor:
    """Signed sizes in standard deviations from uniform draws: the quantiles of their law, the deepest fall first."""
    up, down = max(shocks.rise_share, RAREST), max(1 - shocks.rise_share, RAREST)
    falls = uniform < down
    left = torch.where(falls, uniform / down, (1 - uniform) / up).clamp(RAREST, 1)
    size = shocks.least_size - shocks.mean_size * left.log()
    return torch.where(falls, -size, size)


def mean_factor(shocks: Shocks, deviation: Tensor) -> Tensor:
    """E[e^J] of a cascade's move J, of bars of `deviation` (n,): a sum over QUADRATURE equally likely sizes."""
    place = (torch.arange(QUADRATURE, dtype=torch.float64, device="cpu") + 0.5) / QUADRATURE
    size = deviation[:, None] * (shocks.least_size - shocks.mean_size * place.log())
    up, down = size.clamp(max=shocks.max_rise), -size.clamp(max=shocks.max_fall)
    return (shocks.rise_share * up.exp() + (1 - shocks.rise_share) * down.exp()).mean(-1)


def congestion(liquidity: Liquidity, excitement: Tensor) -> Tensor:
    """How far the venue is strained, in [0, 1): one half at `half_strain`."""
    return excitement / (excitement + liquidity.half_strain)


def half_spread(liquidity: Liquidity, excitement: Tensor) -> Tensor:
    """Recovers twice as fast as the depth: it follows the square of the excitement."""
    square = excitement.square()
    stress = square / (square + liquidity.half_strain**2)
    return liquidity.calm_half_spread + (liquidity.stressed_half_spread - liquidity.calm_half_spread) * stress


def depth(liquidity: Liquidity, congestion: Tensor) -> Tensor:
    return liquidity.calm_depth + (liquidity.stressed_depth - liquidity.calm_depth) * congestion


def deleveraged(liquidity: Liquidity, low: Tensor, high: Tensor) -> Tensor:
    """Share of a winning position that the venue closes in a bar with these extremes: 0 up to `deleveraging_range`.

    Then linear in ln(high/low), up to `deleveraged_share` at twice that range.
    """
    beyond = torch.log(high / low) / liquidity.deleveraging_range - 1
    return liquidity.deleveraged_share * beyond.clamp(0, 1)


def _decay(shocks: Shocks) -> float:
    return math.log(2) / (shocks.half_life_hours * HOUR)
