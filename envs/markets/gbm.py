"""Geometric Brownian motion of several correlated assets: Black and Scholes (1973), stepped exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from envs import bridge, constant, copula
from envs.calibration import Finite, Volatility
from envs.surface import Surface
from envs.types import Quote
from envs.volatility.memory import Filter, Memory


@dataclass(frozen=True)
class State:
    """All of it is public here; A assets."""

    spot: Tensor  # (P, A)
    low: Tensor  # (P, A) of the bar that ended
    high: Tensor  # (P, A)


class GbmMarket:
    """A venue without strain; every option is marked at its asset's one volatility."""

    renewed = True  # every episode begins at `initial`

    class Settings(constant.Venue):
        """`correlation` (A, A) of the returns; None: independent assets."""

        volatility: tuple[Volatility, ...] = Field(default=(0.2,), min_length=1)  # one per asset, per √year
        correlation: tuple[tuple[Finite, ...], ...] | None = None

        @model_validator(mode="after")
        def _correlated(self) -> Self:
            if self.correlation is not None:
                copula.check(self.correlation, len(self.volatility))
            return self

    def __init__(
        self, settings: GbmMarket.Settings, horizon: int, generator: Generator, dtype: torch.dtype, device: torch.device
    ) -> None:
        """`horizon`: the longest forecast asked of the filters, in bars."""
        self.settings, self.generator = settings, generator
        self.drift = settings.drift  # of the forward, per year
        self.calibrations = tuple(constant.calibration(settings, each) for each in settings.volatility)
        self.filters = tuple(Filter(each, dtype, device, horizon) for each in self.calibrations)
        self.surfaces: tuple[Surface, ...] = tuple(constant.FlatSurface(settings) for _ in self.calibrations)
        self.volatility = torch.tensor(settings.volatility, dtype=dtype, device=device)  # (A,)
        correlation = np.eye(len(settings.volatility)) if settings.correlation is None else settings.correlation
        self.root = torch.tensor(np.linalg.cholesky(correlation), dtype=dtype, device=device)  # (A, A)

    def initial(self, paths: int) -> tuple[State, tuple[Memory, ...]]:
        spot = torch.full_like(self.volatility.expand(paths, -1), self.settings.spot)
        return State(spot, spot, spot), tuple(filter.initial(paths) for filter in self.filters)

    def step(self, state: State, memories: tuple[Memory, ...]) -> tuple[State, tuple[Memory, ...], tuple[Quote, ...]]:
        """S' = S·exp((μ − σ²/2)dt + σ√dt·z), z standard normal of the given correlation."""
        bar, shape = self.settings.bar, state.spot.shape
        shock = constant.normal(self.generator, *shape, like=state.spot) @ self.root.T
        variance = self.volatility.square() * bar
        spot = state.spot * torch.exp(self.settings.drift * bar - variance / 2 + variance.sqrt() * shock)
        inside = constant.uniform(self.generator, 2, *shape, like=spot)
        after = State(spot, *bridge.extremes(state.spot, spot, variance, inside))
        memories = constant.remembered(self.filters, memories, state.spot, spot)
        return after, memories, self.quote(after, memories)

    def quote(self, state: State, memories: tuple[Memory, ...]) -> tuple[Quote, ...]:
        return tuple(
            self.settings.quote(state.spot[:, a], state.low[:, a], state.high[:, a], volatility.expand(len(state.spot)))
            for a, volatility in enumerate(self.volatility)
        )
