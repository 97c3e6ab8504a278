"""GJR-GARCH(1,1) per regime and its Student-t log-density, for a batch of markets at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from envs.calibration import Regimes


@dataclass(frozen=True)
class RegimeTensors:
    """The parameters of `calibration.Regimes` as tensors of one dtype on one device; variance per year."""

    transition: Tensor  # (K, K) [from][to], per bar
    omega: Tensor  # (K,)
    alpha: Tensor  # (K,)
    leverage: Tensor  # (K,)
    beta: Tensor  # (K,)
    degrees_of_freedom: float
    truncation: float
    ceiling: float

    @classmethod
    def of(
        cls, regimes: Regimes, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> RegimeTensors:
        """`regimes` as tensors of `dtype` on `device`."""

        def tensor(values: object) -> Tensor:
            return torch.tensor(values, dtype=dtype, device=device)

        return cls(
            transition=tensor(regimes.transition),
            omega=tensor(regimes.omega),
            alpha=tensor(regimes.alpha),
            leverage=tensor(regimes.leverage),
            beta=tensor(regimes.beta),
            degrees_of_freedom=regimes.degrees_of_freedom,
            truncation=regimes.truncation,
            ceiling=regimes.ceiling,
        )

    def double(self) -> RegimeTensors:
        """The same parameters in float64 on the CPU."""
        names = ("transition", "omega", "alpha", "leverage", "beta")
        return replace(self, **{name: getattr(self, name).to("cpu", torch.float64) for name in names})


def next_variance(regimes: RegimeTensors, variance: Tensor, log_return: Tensor, dt: float) -> Tensor:
    """(P, K) variance per year of each regime for the bar after one of `dt` years that returned `log_return` (P,).

    h_k' = min(ceiling, ω_k + (α_k + leverage_k·1[r < 0])·min(r²/dt, truncation²·h_k) + β_k·h_k); `variance` (P, K) = h.
    """
    news = torch.minimum(log_return.square().unsqueeze(-1) / dt, regimes.truncation**2 * variance)
    slope = regimes.alpha + regimes.leverage * (log_return < 0).unsqueeze(-1)
    return (regimes.omega + slope * news + regimes.beta * variance).clamp(max=regimes.ceiling)


def log_density(regimes: RegimeTensors, variance: Tensor, log_return: Tensor, dt: float) -> Tensor:
    """(P, K) log-density of `log_return` (P,) over `dt` years in each regime, given its `variance` (P, K) per year.

    Student-t standardised to variance h·dt (Bollerslev 1987), over the whole line: not truncated.
    """
    freedom = regimes.degrees_of_freedom
    scale = variance * dt
    constant = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(math.pi * (freedom - 2)) / 2
    squared = log_return.square().unsqueeze(-1) / (scale * (freedom - 2))
    return constant - scale.log() / 2 - (freedom + 1) / 2 * squared.log1p()
