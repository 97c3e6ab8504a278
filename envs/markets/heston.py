"""Heston's (1993) stochastic variance, stepped by Andersen's quadratic-exponential scheme with martingale correction.

Andersen (2008), "Simple and efficient simulation of the Heston stochastic volatility model", J. Computational Finance
11(3), 1; integrals of the variance by the trapezium, γ1 = γ2 = ½. E[S'/S] = e^(drift·dt) exactly, bar by bar. A bar's
extremes are a bridge's at the mean of its first and last variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from envs import bridge, constant
from envs.heston import HestonSurface, Law
from envs.surface import Surface
from envs.types import Quote
from envs.volatility.memory import Filter, Memory

SWITCH = 1.5  # of s²/m², between the quadratic and the exponential law; Andersen's ψ_c


@dataclass(frozen=True)
class State:
    """The variance is hidden, though a venue's marks tell of it, as in the papers."""

    spot: Tensor  # (P, 1)
    low: Tensor  # (P, 1) of the bar that ended
    high: Tensor  # (P, 1)
    variance: Tensor  # (P,) per year


class HestonMarket:
    """One asset whose options are marked at the model's own volatilities."""

    renewed = True  # every episode begins at `initial`

    class Settings(Law):
        """The model and the venue."""

    def __init__(
        self,
        settings: HestonMarket.Settings,
        horizon: int,
        generator: Generator,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        """`horizon`: the longest forecast asked of the filters, in bars."""
        self.settings, self.generator = settings, generator
        self.drift = settings.drift  # of the forward, per year
        self.spot, self.variance = torch.tensor([settings.spot, settings.v0], dtype=dtype, device=device)
        spread = settings.xi / math.sqrt(settings.theta)
        self.calibrations = (constant.filtered(settings, math.sqrt(settings.theta), spread, settings.kappa),)
        self.filters = (Filter(self.calibrations[0], dtype, device, horizon),)
        self.surface = HestonSurface(settings, horizon, dtype, device)
        self.surfaces: tuple[Surface, ...] = (self.surface,)

    def initial(self, paths: int) -> tuple[State, tuple[Memory, ...]]:
        spot = self.spot.repeat(paths, 1)
        return State(spot, spot, spot, self.variance.repeat(paths)), (self.filters[0].initial(paths),)

    def step(self, state: State, memories: tuple[Memory, ...]) -> tuple[State, tuple[Memory, ...], tuple[Quote, ...]]:
        bar, count = self.settings.bar, len(state.variance)
        noise = constant.normal(self.generator, 2, count, like=state.spot)
        variance, log_mean = self._next_variance(state.variance, noise[0])
        spot = state.spot * self._log_return(state.variance, variance, log_mean, noise[1]).exp()[:, None]
        inside = constant.uniform(self.generator, 2, count, 1, like=spot)
        average = (state.variance + variance)[:, None] / 2
        after = State(spot, *bridge.extremes(state.spot, spot, average * bar, inside), variance)
        memories = constant.remembered(self.filters, memories, state.spot, spot)
        return after, memories, self.quote(after, memories)

    def quote(self, state: State, memories: tuple[Memory, ...]) -> tuple[Quote, ...]:
        implied = self.surface.at_the_money(state.variance)
        return (self.settings.quote(state.spot[:, 0], state.low[:, 0], state.high[:, 0], implied),)

    def _next_variance(self, variance: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
        """V' of the right mean m and variance s², and ln E[e^(A·V')] given V; all (P,)."""
        law = self.settings
        kept = math.exp(-law.kappa * law.bar)
        mean = law.theta + (variance - law.theta) * kept
        spread = law.xi**2 * (1 - kept) / law.kappa * (variance * kept + law.theta * (1 - kept) / 2)
        ratio = spread / mean.square()
        near = _quadratic(mean, ratio.clamp(max=SWITCH), normal, self._slope)
        far = _exponential(mean, ratio.clamp(min=SWITCH), normal, self._slope)
        return torch.where(ratio < SWITCH, near[0], far[0]), torch.where(ratio < SWITCH, near[1], far[1])

    def _log_return(self, before: Tensor, after: Tensor, log_mean: Tensor, normal: Tensor) -> Tensor:
        """K0 + K1·V + K2·V' + √(K3·V + K4·V')·z, K0 such that the mean of its exponential given V is e^(drift·dt)."""
        law = self.settings
        own = law.bar * (1 - law.rho**2) / 2  # K3 = K4
        mean = law.drift * law.bar - log_mean - own / 2 * before
        return mean + (self._slope - own / 2) * after + (own * (before + after)).sqrt() * normal

    @property
    def _slope(self) -> float:
        """A = K2 + K4/2: the price's mean given V' grows with e^(A·V')."""
        law = self.settings
        return law.rho / law.xi * (1 + law.kappa * law.bar / 2) - law.bar * law.rho**2 / 4


def _quadratic(mean: Tensor, ratio: Tensor, normal: Tensor, slope: float) -> tuple[Tensor, Tensor]:
    """a·(b + z)² and ln E[e^(slope·a·(b + z)²)]."""
    twice = 2 / ratio
    square = twice - 1 + (twice * (twice - 1)).sqrt()
    scale = mean / (1 + square)
    room = 1 - 2 * slope * scale
    return scale * (square.sqrt() + normal).square(), slope * square * scale / room - room.log() / 2


def _exponential(mean: Tensor, ratio: Tensor, normal: Tensor, slope: float) -> tuple[Tensor, Tensor]:
    """0 with probability p, else exponential of rate β, from the upper tail of z; and ln E[e^(slope·V')]."""
    chance = 2 / (ratio + 1)  # 1 − p
    rate = chance / mean
    drawn = (torch.log(chance / torch.special.ndtr(-normal)) / rate).clamp(min=0)
    return drawn, torch.log1p(chance * slope / (rate - slope))
