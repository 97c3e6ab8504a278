"""What past quotes say of the market: filtered regimes, variances and cascade intensity, advanced once a bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from envs import shocks
from envs.calibration import Calibration
from envs.types import BadInput, added
from envs.volatility import garch, regimes


@dataclass(frozen=True)
class Memory:
    """All that one market's past leaves behind; the next bar's view, made of observed log returns alone.

    In memory the (P, K) fields lie regime by regime, which is many times faster for few regimes.
    """

    probability: Tensor  # (P, K) of each regime in the next bar
    variance: Tensor  # (P, K) of the next bar under each regime, per year
    excitement: Tensor  # (P,) large moves of late, in standard deviations beyond the threshold: x of `Shocks`
    bars: Tensor  # (P,) bars seen, int64


class Filter:
    """Haas, Mittnik and Paolella's regimes (Hamilton's filter) and the cascade intensity, for P markets at once."""

    def __init__(self, calibration: Calibration, dtype: torch.dtype, device: torch.device, horizon: int) -> None:
        """`horizon`: the longest forecast that will be asked for, in bars.

        Raises BadInput where the variance has no long run.
        """
        self.bar = calibration.source.bar_hours / 8760
        self.regimes = garch.RegimeTensors.of(calibration.regimes, dtype, device)
        self.shocks = calibration.shocks
        self.implied_bars = calibration.implied_bars
        news = self.shocks.news_gain
        fed = replace(self.regimes, alpha=news * self.regimes.alpha, leverage=news * self.regimes.leverage)
        if (radius := regimes.spectral_radius(fed.double())) >= 1:
            weights = "alpha, leverage or beta, or shocks.news_gain"
            raise BadInput(
                f"regimes: spectral radius {radius:.6g} is not below 1, the variance explodes; lower {weights}"
            )
        self.weights = self.shocks.variance_gain * regimes.forecast_weights(fed, max(horizon, self.implied_bars))
        self.columns = self.weights.T.contiguous().unbind()  # what a forecast of many horizons gathers from
        self.implied_weights = self.weights[self.implied_bars].tolist()
        self.stationary = regimes.stationary(self.regimes.transition)
        self.start_variance = torch.tensor(calibration.reference_volatility**2, dtype=dtype, device=device)

    def initial(self, paths: int) -> Memory:
        """Nothing seen yet: stationary regimes at the reference variance."""
        probability = self.stationary[:, None].expand(-1, paths).contiguous().T
        variance = self.start_variance.expand(probability.T.shape).contiguous().T
        zero = variance.new_zeros(paths)
        return Memory(probability, variance, zero, zero.to(torch.int64))

    def update(self, memory: Memory, log_return: Tensor) -> Memory:
        """After one more bar's `log_return` (P,)."""
        deviation = (self.spot_variance(memory) * self.bar).sqrt()
        prior = memory.probability * memory.variance.rsqrt()
        tail = garch.log_tail(self.regimes, memory.variance, log_return, self.bar)
        _, predicted = regimes.update(self.regimes, prior, tail)
        return Memory(
            probability=predicted,
            variance=garch.next_variance(self.regimes, memory.variance, log_return, self.bar),
            excitement=shocks.excited(self.shocks, memory.excitement, log_return / deviation, self.bar),
            bars=memory.bars + 1,
        )

    def spot_variance(self, memory: Memory) -> Tensor:
        """Expected diffusive variance of the next bar, per year, (P,)."""
        each = zip(memory.probability.unbind(-1), memory.variance.unbind(-1), strict=True)
        return added([p * h for p, h in each])

    def cascade_chance(self, memory: Memory) -> Tensor:
        """(P,) that the next bar brings a liquidation cascade."""
        calm = self.start_variance / self.spot_variance(memory)
        return shocks.probability(self.shocks, memory.excitement, calm, self.bar)

    def term_variance(self, memory: Memory, bars: Tensor) -> Tensor:
        """Expected variance, per year, averaged over the next `bars` (int64; 0 counts as 1), (P,) or (P, n).

        With the cascades', and up to the horizon of the filter: more bars than that count as so many.
        Cascades come at their mean rate: within days the excess of today's over it is forgotten.
        """
        each, place = (
            (memory.probability.unbind(-1), memory.variance.unbind(-1)),
            bars.clamp(1, len(self.weights) - 1).flatten(),
        )
        weights = [column.index_select(0, place).view(bars.shape) for column in self.columns]
        probability, variance = each if bars.dim() == 1 else ([row[:, None] for row in rows] for rows in each)
        return _forecast(probability, variance, weights)

    def implied_variance(self, memory: Memory) -> Tensor:
        """`term_variance` over the 30 days of the quoted implied volatility, (P,)."""
        return _forecast(memory.probability.unbind(-1), memory.variance.unbind(-1), self.implied_weights)


def _forecast(
    probability: Sequence[Tensor], variance: Sequence[Tensor], weights: Sequence[Tensor] | Sequence[float]
) -> Tensor:
    """Σ_j p_j·(Σ_k W[j, k]·h_k + W[j]) of each regime's `probability` and `variance`; `weights` as in a row of W."""
    count = len(probability)
    return added(
        [
            p * added([weights[count * j + k] * h for k, h in enumerate(variance)]).add(weights[count * count + j])
            for j, p in enumerate(probability)
        ]
    )
