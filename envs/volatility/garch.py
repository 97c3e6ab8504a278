"""GJR-GARCH(1,1) per regime and its Student-t log-density, for a batch of markets at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

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

    @cached_property
    def stacked(self) -> Tensor:
        """(4, K, 1): ω, α, leverage, β."""
        return torch.stack([self.omega, self.alpha, self.leverage, self.beta]).unsqueeze(-1)

    def double(self) -> RegimeTensors:
        """The same parameters in float64 on the CPU."""
        names = ("transition", "omega", "alpha", "leverage", "beta")
        return replace(self, **{name: getattr(self, name).to("cpu", torch.float64) for name in names})


def next_variance(regimes: RegimeTensors, variance: Tensor, log_return: Tensor, dt: float) -> Tensor:
    """(P, K) variance per year of each regime for the bar after one of `dt` years that returned `log_return` (P,).

    h_k' = min(ceiling, ω_k + (α_k + leverage_k·1[r < 0])·min(r²/dt, truncation²·h_k) + β_k·h_k); `variance` (P, K) = h.
    r²·1[r < 0] is taken as min(r, 0)². Laid out in memory regime by regime, as `columns` has it.
    """
    h = columns(variance)
    omega, alpha, leverage, beta = regimes.stacked
    cap = h * regimes.truncation**2
    news = torch.minimum(log_return.square() / dt, cap)
    fall = torch.minimum(log_return.clamp(max=0).square() / dt, cap)
    following: Tensor = (beta * h + omega).addcmul(alpha, news).addcmul(leverage, fall)
    return following.clamp(max=regimes.ceiling).T


def log_density(regimes: RegimeTensors, variance: Tensor, log_return: Tensor, dt: float) -> Tensor:
    """(P, K) log-density of `log_return` (P,) over `dt` years in each regime, given its `variance` (P, K) per year.

    Student-t standardised to variance h·dt (Bollerslev 1987), over the whole line: not truncated. Laid out in memory
    regime by regime, as `columns` has it.
    """
    freedom = regimes.degrees_of_freedom
    constant = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(math.pi * (freedom - 2) * dt) / 2
    tail = log_tail(regimes, variance, log_return, dt)
    return (constant - columns(variance).log() / 2 + columns(tail)).T


def log_tail(regimes: RegimeTensors, variance: Tensor, log_return: Tensor, dt: float) -> Tensor:
    """(P, K): what of `log_density` depends on the return, −(ν+1)/2·ln(1 + r²/((ν−2)·h·dt))."""
    freedom = regimes.degrees_of_freedom
    ratio = log_return.square() / (dt * (freedom - 2)) / columns(variance)
    return ((1 + ratio).log() * (-(freedom + 1) / 2)).T


def columns(values: Tensor) -> Tensor:
    """`values` (P, K) as a contiguous (K, P): with the few regimes outermost, arithmetic runs along the paths.

    No copy where `values` is the transpose of such a tensor, which is how this package returns them.
    """
    return values.T.contiguous()
