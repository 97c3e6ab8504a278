"""What past quotes say of the market: filtered regimes, variances and cascade intensity, advanced once a bar."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from envs import shocks
from envs.calibration import Calibration
from envs.volatility import garch, regimes


@dataclass(frozen=True)
class Memory:
    """All that one market's past leaves behind; the next bar's view, made of observed log returns alone."""

    probability: Tensor  # (P, K) of each regime in the next bar
    variance: Tensor  # (P, K) of the next bar under each regime, per year
    excitement: Tensor  # (P,) cascade intensity above its base, per year
    bars: Tensor  # (P,) bars seen, int64


class Filter:
    """Haas, Mittnik and Paolella's regimes (Hamilton's filter) and the cascade intensity, for P markets at once."""

    def __init__(self, calibration: Calibration, dtype: torch.dtype, device: torch.device, horizon: int) -> None:
        """`horizon`: the longest forecast, in bars."""
        self.bar = calibration.source.bar_hours / 8760
        self.regimes = garch.RegimeTensors.of(calibration.regimes, dtype, device)
        self.shocks = calibration.shocks
        self.weights = regimes.forecast_weights(self.regimes, horizon)
        self.stationary = regimes.stationary(self.regimes.transition)
        self.floor = self.shocks.base_rate * shocks.second_moment(self.shocks)
        self.start_variance = torch.tensor(calibration.reference_volatility**2, dtype=dtype, device=device)

    def initial(self, paths: int) -> Memory:
        """Nothing seen yet: stationary regimes at the reference variance."""
        probability = self.stationary.expand(paths, -1)
        variance = self.start_variance.expand_as(probability)
        zero = variance.new_zeros(paths)
        return Memory(probability, variance, zero, zero.to(torch.int64))

    def update(self, memory: Memory, log_return: Tensor) -> Memory:
        """After one more bar's `log_return` (P,)."""
        deviation = (self.spot_variance(memory) * self.bar).sqrt()
        density = garch.log_density(self.regimes, memory.variance, log_return, self.bar)
        _, predicted = regimes.update(self.regimes, memory.probability, density)
        return Memory(
            probability=predicted,
            variance=garch.next_variance(self.regimes, memory.variance, log_return, self.bar),
            excitement=shocks.excited(self.shocks, memory.excitement, log_return / deviation, self.bar),
            bars=memory.bars + 1,
        )

    def spot_variance(self, memory: Memory) -> Tensor:
        """Expected diffusive variance of the next bar, per year, (P,)."""
        return (memory.probability * memory.variance).sum(-1)

    def term_variance(self, memory: Memory, bars: Tensor) -> Tensor:
        """Expected variance, per year, averaged over the next `bars` (P,) int64 (≥ 1), cascades included; (P,)."""
        joint = memory.probability[:, :, None] * memory.variance[:, None, :]
        state = torch.cat([joint.flatten(1), memory.probability], dim=-1)
        diffusive = (state * self.weights[bars]).sum(-1)
        return (
            diffusive
            + self.floor
            + shocks.term_variance(self.shocks, memory.excitement, bars.to(diffusive.dtype) * self.bar)
        )
