"""Variance as the prices of past bars show it, with no model of it: from closes, and from open, high, low and close.

Garman and Klass (1980), J. Business 53, 67, for the latter: about 7.4 times as efficient as the square of the return
on a continuous diffusion without drift. Jumps and drift inside a bar bias it; seeing few trades biases it down.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from envs.types import BadInput


def realised_variance(log_return: Tensor, dt: float) -> Tensor:
    """(P,) variance per year of `log_return` (P, n) over `dt` years each: Σr²/(n·dt), no mean taken off."""
    return log_return.square().mean(-1) / dt


def garman_klass(open: Tensor, high: Tensor, low: Tensor, close: Tensor, dt: float) -> Tensor:
    """Variance per year of bars of `dt` years, all of one shape: (½·ln²(high/low) − (2·ln 2 − 1)·ln²(close/open))/dt.

    Garman and Klass's σ̂₅². Never negative where low ≤ open, close ≤ high.
    """
    spread, change = torch.log(high / low), torch.log(close / open)
    return (spread.square() / 2 - (2 * math.log(2) - 1) * change.square()) / dt


class Filter:
    """An exponentially weighted mean of the past bars' variances, advanced once a bar, for P markets at once.

    It forecasts no change: the same variance at every horizon (J.P. Morgan 1996, RiskMetrics, 4th ed., §5.2).
    """

    def __init__(
        self, half_life: float, start_variance: float, bar: float, dtype: torch.dtype, device: torch.device
    ) -> None:
        """`half_life`: bars until a bar's weight has halved; `bar`: years; `start_variance`: per year.

        Raises BadInput for a half-life that is not positive.
        """
        if not half_life > 0:
            raise BadInput(f"realised: half_life {half_life:g} is no number of bars above 0; give one such as 24")
        self.bar, self.weight = bar, -math.expm1(-math.log(2) / half_life)
        self.start_variance = torch.tensor(start_variance, dtype=dtype, device=device)

    def initial(self, paths: int) -> Tensor:
        """(P,) what a filter that has seen nothing remembers: the variance of the next bar, per year."""
        return self.start_variance.repeat(paths)

    def update(self, memory: Tensor, log_return: Tensor) -> Tensor:
        """After one more bar of which only the `log_return` (P,) is known."""
        return torch.lerp(memory, log_return.square() / self.bar, self.weight)

    def update_range(self, memory: Tensor, open: Tensor, high: Tensor, low: Tensor, close: Tensor) -> Tensor:
        """After one more bar of these prices, each (P,)."""
        return torch.lerp(memory, garman_klass(open, high, low, close, self.bar), self.weight)

    def spot_variance(self, memory: Tensor) -> Tensor:
        """Variance of the next bar, per year, (P,)."""
        return memory

    def term_variance(self, memory: Tensor, bars: Tensor) -> Tensor:
        """Expected variance, per year, averaged over the next `bars` (P,) int64 (≥ 1): the same whatever they are."""
        return memory.expand(bars.shape)
