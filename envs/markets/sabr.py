"""SABR of Hagan, Kumar, Lesniewski and Woodward (2002), "Managing smile risk", Wilmott, September, 84.

dS = μS·dt + α·S^β·dW, dα = ν·α·dZ, correlation ρ. The volatility is stepped exactly, the log price by Euler at the
bar's first volatility, so that E[S'/S] = e^(μ·dt) exactly; options are marked by Hagan's formula, as in the papers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Generator, Tensor

from envs import bridge, constant
from envs.calibration import IMPLIED_HOURS, NonNegative, Volatility
from envs.pricing import hagan
from envs.surface import Surface
from envs.types import HOUR, Quote
from envs.volatility.memory import Filter, Memory

MONTH = IMPLIED_HOURS * HOUR  # years to expiry of the quoted implied volatility
NEWTON = 5  # steps; each doubles the digits
REVERSION = 0.1  # per year, of the filter's variance: the model has none, the filter must have some


@dataclass(frozen=True)
class State:
    """The volatility is hidden, though a venue's marks tell of it, as in the papers."""

    spot: Tensor  # (P, 1)
    low: Tensor  # (P, 1) of the bar that ended
    high: Tensor  # (P, 1)
    volatility: Tensor  # (P,) α·S^(β−1): of the log price, per √year


class SabrMarket:
    """One asset whose options are marked by Hagan's formula at the model's own volatility."""

    renewed = True  # every episode begins at `initial`

    class Settings(constant.Venue):
        volatility: Volatility = 0.2  # of the log price at the start, per √year
        volvol: NonNegative = 0.6  # ν, per √year
        rho: Annotated[float, Field(gt=-1, lt=1)] = -0.4
        beta: Annotated[float, Field(ge=0, le=1)] = 1.0

    def __init__(
        self,
        settings: SabrMarket.Settings,
        horizon: int,
        generator: Generator,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        """`horizon`: the longest forecast asked of the filters, in bars."""
        self.settings, self.generator = settings, generator
        self.drift = settings.drift  # of the forward, per year
        self.spot, self.volatility = torch.tensor([settings.spot, settings.volatility], dtype=dtype, device=device)
        self.calibrations = (constant.filtered(settings, settings.volatility, 2 * settings.volvol, REVERSION),)
        self.filters = (Filter(self.calibrations[0], dtype, device, horizon),)
        self.surfaces: tuple[Surface, ...] = (HaganSurface(settings, dtype, device),)

    def initial(self, paths: int) -> tuple[State, tuple[Memory, ...]]:
        spot = self.spot.repeat(paths, 1)
        return State(spot, spot, spot, self.volatility.repeat(paths)), (self.filters[0].initial(paths),)

    def step(self, state: State, memories: tuple[Memory, ...]) -> tuple[State, tuple[Memory, ...], tuple[Quote, ...]]:
        law, count = self.settings, len(state.volatility)
        shock, other = constant.normal(self.generator, 2, count, like=state.spot)
        deviation = state.volatility * math.sqrt(law.bar)
        log_return = law.drift * law.bar - deviation.square() / 2 + deviation * shock
        spot = state.spot * log_return.exp()[:, None]
        turn = law.rho * shock + math.sqrt(1 - law.rho**2) * other
        growth = law.volvol * math.sqrt(law.bar) * turn - law.volvol**2 * law.bar / 2 + (law.beta - 1) * log_return
        inside = constant.uniform(self.generator, 2, count, 1, like=spot)
        low, high = bridge.extremes(state.spot, spot, deviation.square()[:, None], inside)
        after = State(spot, low, high, state.volatility * growth.exp())
        memories = constant.remembered(self.filters, memories, state.spot, spot)
        return after, memories, self.quote(after, memories)

    def quote(self, state: State, memories: tuple[Memory, ...]) -> tuple[Quote, ...]:
        implied = at_the_money(self.settings, state.volatility)
        return (self.settings.quote(state.spot[:, 0], state.low[:, 0], state.high[:, 0], implied),)


class HaganSurface:
    """Hagan's formula at the volatility that the quoted one implies."""

    def __init__(self, settings: SabrMarket.Settings, dtype: torch.dtype, device: torch.device) -> None:
        self.law = settings
        self.rho, self.volvol = torch.tensor([settings.rho, settings.volvol], dtype=dtype, device=device)

    def volatility(self, quote: Quote, memory: Memory, strike: Tensor, bars_left: Tensor) -> Tensor:
        """(P, n) per √year, of options with `strike` (P, n) and `bars_left` (P, n)."""
        law, spot = self.law, quote.spot[:, None]
        alpha = instantaneous(law, quote.implied_volatility)[:, None] * spot ** (1 - law.beta)
        years = bars_left.to(spot.dtype) * law.bar
        return hagan.implied_volatility(spot, strike, years, alpha, self.rho, self.volvol, law.beta)

    def implied_after(self, quote: Quote, memory: Memory, log_return: float) -> Tensor:
        """With the expected dα = ρν·S^−β·dS, Bartlett's; the log price's volatility is α·S^(β−1)."""
        law, volatility = self.law, instantaneous(self.law, quote.implied_volatility)
        move = law.rho * law.volvol / volatility + law.beta - 1
        return at_the_money(law, volatility * torch.exp(move * log_return))

    def half_spread(self, delta: Tensor) -> Tensor:
        """Of an option's price, as a fraction; the shape of `delta`."""
        return torch.full_like(delta, self.law.option_half_spread)


def at_the_money(law: SabrMarket.Settings, volatility: Tensor) -> Tensor:
    """Hagan's eq. 2.18 at 30 days: implied by the log price's `volatility` v,

    v·(1 + ((1 − β)²/24·v² + ρβν/4·v + (2 − 3ρ²)/24·ν²)·τ).
    """
    square, line, level = _terms(law)
    return volatility * (1 + level + line * volatility + square * volatility.square())


def instantaneous(law: SabrMarket.Settings, implied: Tensor) -> Tensor:
    """The inverse of `at_the_money`, by Newton's method."""
    square, line, level = _terms(law)
    volatility = implied
    for _ in range(NEWTON):
        slope = 1 + level + 2 * line * volatility + 3 * square * volatility.square()
        volatility = volatility - (at_the_money(law, volatility) - implied) / slope
    return volatility


def _terms(law: SabrMarket.Settings) -> tuple[float, float, float]:
    """Coefficients of v², v and 1 in the correction."""
    square, line = (1 - law.beta) ** 2 / 24, law.rho * law.beta * law.volvol / 4
    return square * MONTH, line * MONTH, (2 - 3 * law.rho**2) / 24 * law.volvol**2 * MONTH
