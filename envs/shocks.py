"""Liquidation cascades: sudden falls whose hazard is excited by falls that anyone can see.

Hawkes (1971), Biometrika 58, 83, with the excitation driven by observed falls, so that the intensity is a function of
past quotes: λ = base_rate + x; over a bar x decays by half every half-life and gains excitation·(fall beyond the
threshold, in σ).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from envs.calibration import Liquidity, Shocks
from envs.types import HOUR


def excited(shocks: Shocks, excitement: Tensor, standardised_return: Tensor, bar: float) -> Tensor:
    """x after a bar of `bar` years with the given return in filtered standard deviations."""
    fall = (-standardised_return - shocks.fall_threshold).clamp(min=0)
    return excitement * math.exp(-_decay(shocks) * bar) + shocks.excitation * fall


def probability(shocks: Shocks, excitement: Tensor, bar: float) -> Tensor:
    """That a cascade comes within a bar of `bar` years."""
    return -torch.expm1(-(shocks.base_rate + excitement) * bar)


def sizes(shocks: Shocks, uniform: Tensor) -> Tensor:
    """Falls in log price, exponential of mean `mean_size` cut off at `max_size`, from uniform draws."""
    inside = -math.expm1(-shocks.max_size / shocks.mean_size)
    return -shocks.mean_size * torch.log1p(-uniform * inside)


def mean_factor(shocks: Shocks) -> float:
    """E[e^(−J)] of one cascade's size J, in closed form."""
    rate, bound = 1 / shocks.mean_size, shocks.max_size
    return rate / (rate + 1) * math.expm1(-(rate + 1) * bound) / math.expm1(-rate * bound)


def second_moment(shocks: Shocks) -> float:
    """E[J²] of one cascade's size, in closed form."""
    scaled = shocks.max_size / shocks.mean_size
    tail = math.exp(-scaled)
    return shocks.mean_size**2 * (2 - tail * (scaled**2 + 2 * scaled + 2)) / (1 - tail)


def term_variance(shocks: Shocks, excitement: Tensor, years: Tensor) -> Tensor:
    """Variance per year that the present excitement adds on average over the next `years`.

    Further excitation is left out.
    """
    decay = _decay(shocks)
    return excitement * second_moment(shocks) * -torch.expm1(-decay * years) / (decay * years)


def stress(liquidity: Liquidity, excitement: Tensor) -> Tensor:
    """How far the book is withdrawn, in [0, 1): one half at `half_stress_rate`."""
    return excitement / (excitement + liquidity.half_stress_rate)


def half_spread(liquidity: Liquidity, excitement: Tensor) -> Tensor:
    return torch.lerp(
        excitement.new_tensor(liquidity.calm_half_spread),
        excitement.new_tensor(liquidity.stressed_half_spread),
        stress(liquidity, excitement),
    )


def depth(liquidity: Liquidity, excitement: Tensor) -> Tensor:
    return torch.lerp(
        excitement.new_tensor(liquidity.calm_depth),
        excitement.new_tensor(liquidity.stressed_depth),
        stress(liquidity, excitement),
    )


def _decay(shocks: Shocks) -> float:
    return math.log(2) / (shocks.half_life_hours * HOUR)
