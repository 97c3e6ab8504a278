"""Implied volatility of any option from what is public, and what an option's bid and ask lie apart.

Smile: SSVI of Gatheral and Jacquier (2014), "Arbitrage-free SVI volatility surfaces", Quantitative Finance 14, 59,
eq. 4.1 with φ(θ) = η/√θ, a function of log-moneyness in standard deviations; their theorem 4.2 bounds η.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from envs import calibration
from envs.calibration import Calibration
from envs.types import HOUR, Quote
from envs.volatility.memory import Filter, Memory

SPREADS = (  # |delta|, half of the relative bid–ask of an option: listed chains, middle of each range of |delta|
    (0.0, 0.175),
    (0.025, 0.175),
    (0.10, 0.05),
    (0.25, 0.02),
    (0.50, 0.0115),
    (1.0, 0.0115),
)
WIDEST = 8.0  # log-moneyness in standard deviations, beyond which the smile is flat


class Surface(Protocol):
    """Implied volatilities and spreads of one asset's options."""

    def volatility(self, quote: Quote, memory: Memory, strike: Tensor, bars_left: Tensor) -> Tensor:
        """(P, n) per √year at `strike` (P, n) and `bars_left` (P, n) int64, from public information only."""
        ...

    def implied_after(self, quote: Quote, memory: Memory, log_return: float) -> Tensor:
        """(P,) the quoted volatility expected right after the spot's `log_return`."""
        ...

    def half_spread(self, delta: Tensor) -> Tensor:
        """Half of an option's relative bid–ask by its |delta|, same shape."""
        ...


class ForecastSurface:
    """The quoted 30-day volatility, its term structure shaped by the filtered forecast, and an SSVI smile."""

    def __init__(self, calibration: Calibration, filter: Filter) -> None:
        self.law, self.filter = calibration.surface, filter
        self.deltas = filter.start_variance.new_tensor([delta for delta, _ in SPREADS])
        self.spreads = filter.start_variance.new_tensor([spread for _, spread in SPREADS])

    def volatility(self, quote: Quote, memory: Memory, strike: Tensor, bars_left: Tensor) -> Tensor:
        """At the money the total variance is that of the forecast, scaled to the quote's at 30 days: it never falls.

        Expired options (no bars left) get the volatility of one bar.
        """
        bars = bars_left.clamp(1, len(self.filter.weights) - 1)
        forecast = self.filter.term_variance(memory, bars_left) / self.filter.implied_variance(memory)[:, None]
        level = quote.implied_volatility[:, None] * forecast.sqrt()
        deviation = level * (bars.to(level.dtype) * self.filter.bar).sqrt()
        return level * self.smile(torch.log(strike / quote.spot[:, None]) / deviation)

    def smile(self, moneyness: Tensor) -> Tensor:
        """Volatility over that at the money, by log-`moneyness` in standard deviations at the money."""
        skew, scaled = self.law.skew, self.law.curvature * moneyness.clamp(-WIDEST, WIDEST)
        root = ((scaled + skew).square() + (1 - skew**2)).sqrt()
        smile: Tensor = torch.sqrt((1 + skew * scaled + root) / 2)
        return smile

    def implied_after(self, quote: Quote, memory: Memory, log_return: float) -> Tensor:
        """As `next_level` says, by the part of its noise that is the return's."""
        slope = self.law.return_correlation * self.law.volatility / self.filter.spot_variance(memory).sqrt()
        return quote.implied_volatility * torch.exp(slope * log_return)

    def half_spread(self, delta: Tensor) -> Tensor:
        """Logarithms interpolated linearly between SPREADS."""
        place = delta.abs().clamp(max=1)
        right = torch.bucketize(place, self.deltas).clamp(1, len(self.deltas) - 1)
        low, high = self.deltas[right - 1], self.deltas[right]
        share = (place - low) / (high - low)
        return torch.lerp(self.spreads[right - 1].log(), self.spreads[right].log(), share).exp()


def next_level(
    law: calibration.Surface, level: Tensor, target: Tensor, standardised_return: Tensor, noise: Tensor, bar: float
) -> Tensor:
    """ln σ_implied (P,) a bar of `bar` years on: closer to `target`, and moved by noise.

    The noise is part the return (unit variance), part `noise` (standard normal).
    """
    kept = math.exp(-math.log(2) * bar / (law.half_life_hours * HOUR))
    own = math.sqrt(1 - law.return_correlation**2)
    scale = law.volatility * math.sqrt(bar)
    return target + kept * (level - target) + scale * (law.return_correlation * standardised_return + own * noise)
