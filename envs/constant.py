"""Markets of the literature: a quiet venue, no funding, and a calibration that filters and features can run on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch import Generator, Tensor

from envs.calibration import (
    BarHours,
    Calibration,
    Funding,
    Liquidity,
    Positive,
    Range,
    Regimes,
    Section,
    Shocks,
    Source,
    Surface,
)
from envs.types import HOUR, Quote
from envs.volatility.memory import Filter, Memory

FREE = 1e-12  # a half-spread that costs nothing, where the calibration must have one above zero
NORMAL = 1e6  # degrees of freedom at which a Student-t is a normal law to six digits


Fraction = Annotated[float, Field(ge=0, lt=1)]


class Venue(Section):
    """What the papers' markets have in common: the clock, the start, the drift, and a book that never strains."""

    bar_hours: BarHours = 1.0  # 35.04 for a 250th of a year
    spot: Annotated[float, Field(ge=1e-9, le=1e12)] = 1.0  # at the start, quote currency
    drift: Annotated[float, Field(ge=-100, le=100)] = 0.0  # of the price, per year; the forward is spot·e^(drift·T)
    half_spread: Fraction = 0.0  # of the perpetual, as a fraction of its mark
    option_half_spread: Fraction = 0.0  # of every option, as a fraction of its price
    depth: Positive = 1e12  # quote currency within 5 bps, one side

    @property
    def bar(self) -> float:
        """Years in a bar."""
        return self.bar_hours * HOUR

    def quote(self, spot: Tensor, low: Tensor, high: Tensor, implied_volatility: Tensor) -> Quote:
        """All (P,); the perpetual is marked at its index, pays no funding and is never short of depth."""
        zero = torch.zeros_like(spot)
        return Quote(
            spot=spot,
            low=low,
            high=high,
            mark=spot,
            half_spread=zero + self.half_spread,
            depth=zero + self.depth,
            funding_rate=zero,
            implied_volatility=implied_volatility,
            congestion=zero,
            deleveraged=zero,
        )


def calibration(
    venue: Venue, volatility: float, news: float = 0.0, persistence: float = 0.0, asset: str = "model"
) -> Calibration:
    """Of one regime without cascades, whose variance is volatility² on average and each bar's forecast

    h' = volatility²·(1 − persistence) + news·r²/dt + (persistence − news)·h: constant where both are 0.
    Needs 0 ≤ news ≤ persistence < 1; volatility per √year.
    """
    return Calibration(
        source=Source(asset=asset, first="", last="", bars=0, bar_hours=venue.bar_hours, sha256=""),
        reference_volatility=volatility,
        regimes=Regimes(
            transition=((1.0,),),
            omega=(volatility**2 * (1 - persistence),),
            alpha=(news,),
            leverage=(0.0,),
            beta=(persistence - news,),
            degrees_of_freedom=NORMAL,
            truncation=10.0,
            ceiling=max(400.0, 4 * volatility**2),
        ),
        shocks=Shocks(
            base_rate=0.0,
            excitation=0.0,
            threshold=1e6,
            half_life_hours=1.0,
            leverage=0.0,
            variance_gain=1.0,
            news_gain=1.0,
            least_size=1.0,
            mean_size=1.0,
            max_fall=1.0,
            max_rise=1.0,
            rise_share=0.5,
        ),
        range=Range(
            low_diffusive=1.0,
            low_overshoot=0.0,
            low_reach=1e6,
            high_diffusive=1.0,
            high_overshoot=0.0,
            high_reach=1e6,
        ),
        funding=Funding(mean_premium=0.0, premium_std=FREE, persistence=0.0),
        liquidity=Liquidity(
            calm_half_spread=max(FREE, venue.half_spread),
            stressed_half_spread=max(FREE, venue.half_spread),
            calm_depth=venue.depth,
            stressed_depth=venue.depth,
            half_strain=1.0,
            deleveraging_range=1e6,
            deleveraged_share=0.0,
        ),
        surface=Surface(
            risk_premium=1.0, half_life_hours=1.0, volatility=0.0, return_correlation=0.0, skew=0.0, curvature=FREE
        ),
    )


def filtered(venue: Venue, volatility: float, volatility_of_variance: float, reversion: float) -> Calibration:
    """A calibration whose recursion filters dV = reversion·(volatility² − V)dt + ψ·V·dW.

    Nelson (1990), J. Econometrics 45, 7: GARCH(1,1) with weight `news` on a bar's squared return has that diffusion for
    its limit, with ψ = news·√(2/dt). `volatility_of_variance` is ψ, per √year; `reversion` per year, above 0.
    """
    persistence = math.exp(-reversion * venue.bar)
    return calibration(
        venue, volatility, min(persistence, volatility_of_variance * math.sqrt(venue.bar / 2)), persistence
    )


def remembered(
    filters: Iterable[Filter], memories: Iterable[Memory], before: Tensor, after: Tensor
) -> tuple[Memory, ...]:
    """The memory of each of A assets once prices went from `before` to `after`, both (P, A)."""
    log_return = torch.log(after / before)
    pairs = zip(filters, memories, strict=True)
    return tuple(filter.update(memory, log_return[:, a]) for a, (filter, memory) in enumerate(pairs))


def normal(generator: Generator, *shape: int, like: Tensor) -> Tensor:
    return torch.randn(shape, generator=generator, device=like.device, dtype=like.dtype)


def uniform(generator: Generator, *shape: int, like: Tensor) -> Tensor:
    return torch.rand(shape, generator=generator, device=like.device, dtype=like.dtype)


class FlatSurface:
    """One volatility for every strike and expiry: the one quoted."""

    def __init__(self, venue: Venue) -> None:
        self.option_half_spread = venue.option_half_spread

    def volatility(self, quote: Quote, memory: Memory, strike: Tensor, bars_left: Tensor) -> Tensor:
        """(P, n) per √year, of options with `strike` (P, n) and `bars_left` (P, n)."""
        return quote.implied_volatility[:, None].expand_as(strike)

    def implied_after(self, quote: Quote, memory: Memory, log_return: float) -> Tensor:
        """It does not move with the spot."""
        return quote.implied_volatility

    def half_spread(self, delta: Tensor) -> Tensor:
        """Of an option's price, as a fraction; the shape of `delta`."""
        return torch.full_like(delta, self.option_half_spread)
