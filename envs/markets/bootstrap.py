"""Stationary block bootstrap of real history, with its trend taken out so that the price is fair.

Politis and Romano (1994), J. Amer. Statist. Assoc. 89, 1303: blocks of consecutive bars of geometric length, each from
a start drawn uniformly. Unlike theirs a block ends early where the record has a gap or ends, and at LONGEST mean
lengths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import torch
from pydantic import model_validator
from torch import Generator, Tensor

from envs import constant, marks, recording
from envs.calibration import Positive
from envs.recording import Recording
from envs.surface import ForecastSurface, Surface
from envs.types import BadInput, Quote
from envs.volatility.memory import Filter, Memory

LONGEST = 10  # mean lengths; a geometric length passes it once in 20,000 blocks
BURN_IN = 1500  # bars until the filters have forgotten their start


@dataclass(frozen=True)
class State:
    """Hidden from every agent; never leaves this file but to come back. A assets."""

    spot: Tensor  # (P, A)
    low: Tensor  # (P, A) of the bar that ended
    high: Tensor  # (P, A)
    place: Tensor  # (P,) row of the record that the bar repeats, int64
    age: Tensor  # (P,) bars since the block's start, its first being 1, int64


class BootstrapMarket:
    """Assets resampled together, bar by bar with lows, highs and funding; book and implied volatility are modelled."""

    drift = 0.0  # of the forward, per year
    renewed = False  # it goes on from one episode to the next

    class Settings(recording.History):
        """Which history, in blocks of which length on average."""

        mean_block_hours: Positive = 168.0

        @model_validator(mode="after")
        def _whole_bars(self) -> Self:
            if self.mean_block_hours < self.assets[0].source.bar_hours:
                raise ValueError(f"mean_block_hours = {self.mean_block_hours:g} is shorter than a bar; raise it")
            return self

    def __init__(
        self,
        settings: BootstrapMarket.Settings,
        horizon: int,
        generator: Generator,
        dtype: torch.dtype,
        device: torch.device,
        record: Recording | None = None,
    ) -> None:
        """`horizon`: the longest forecast, in bars; `record`: in place of the files named. Raises BadInput."""
        self.calibrations, self.generator = settings.assets, generator
        self.filters = tuple(Filter(asset, dtype, device, horizon) for asset in settings.assets)
        self.surfaces: tuple[Surface, ...] = tuple(
            ForecastSurface(*pair) for pair in zip(settings.assets, self.filters, strict=True)
        )
        full = settings.recording(torch.float64, torch.device("cpu")) if record is None else record
        mean_block = settings.mean_block_hours / settings.assets[0].source.bar_hours
        self.renewal = 1 / mean_block
        returns, low, high = _relative(full)
        starts = torch.nonzero(full.usable)[:, 0]
        if not len(starts):
            raise BadInput("the record has no bar that follows another; bring two bars in a row or more")
        trend = _trend(returns, full.usable, starts, math.ceil(LONGEST * mean_block))
        self.returns, self.low, self.high, self.trend, self.funding_rate = (
            table.to(device=device, dtype=dtype) for table in (returns, low, high, trend, full.funding_rate)
        )
        self.starts = starts.to(device)
        self.continues = torch.cat([full.usable[1:], full.usable.new_zeros(1)]).to(device)

    def initial(self, paths: int) -> tuple[State, tuple[Memory, ...]]:
        """A price of 1 and a new block on every path, with filters that have run on blocks before."""
        one = self.returns.new_ones(paths, self.returns.shape[1])
        old = torch.full_like(self.starts[:1], len(self.trend)).expand(paths)
        state = State(one, one, one, self.starts[:1].expand(paths), old)
        memories = tuple(filter.initial(paths) for filter in self.filters)
        for _ in range(BURN_IN):
            state, memories = self._advanced(state, memories)
        return replace(state, spot=one, low=one, high=one, age=old), memories

    def step(self, state: State, memories: tuple[Memory, ...]) -> tuple[State, tuple[Memory, ...], tuple[Quote, ...]]:
        state, memories = self._advanced(state, memories)
        return state, memories, self.quote(state, memories)

    def quote(self, state: State, memories: tuple[Memory, ...]) -> tuple[Quote, ...]:
        return marks.quotes(
            self.calibrations,
            self.filters,
            memories,
            spot=state.spot,
            low=state.low,
            high=state.high,
            mark=state.spot,
            funding_rate=self.funding_rate[state.place],
        )

    def _advanced(self, state: State, memories: tuple[Memory, ...]) -> tuple[State, tuple[Memory, ...]]:
        place, age = self._next_bar(state)
        log_return = self.returns[place] - self.trend[age - 1]
        spot = state.spot * log_return.exp()
        low = state.spot * torch.minimum(self.low[place], log_return.clamp(max=0)).exp()
        high = state.spot * torch.maximum(self.high[place], log_return.clamp(min=0)).exp()
        memories = constant.remembered(self.filters, memories, state.spot, spot)
        return State(spot, torch.minimum(low, spot), torch.maximum(high, spot), place, age), memories

    def _next_bar(self, state: State) -> tuple[Tensor, Tensor]:
        """The row after, or a new block's first."""
        chance = constant.uniform(self.generator, len(state.place), like=state.spot)
        drawn = torch.randint(len(self.starts), state.place.shape, generator=self.generator, device=chance.device)
        stays = (chance >= self.renewal) & self.continues[state.place] & (state.age < len(self.trend))
        place = torch.where(stays, state.place + 1, self.starts[drawn])
        return place, torch.where(stays, state.age + 1, 1)


def _relative(record: Recording) -> tuple[Tensor, Tensor, Tensor]:
    """Log returns, and lows and highs, over the close before; (T, A), 0 in the first row."""
    before = torch.cat([record.spot[:1], record.spot[:-1]])
    return torch.log(record.spot / before), torch.log(record.low / before), torch.log(record.high / before)


def _trend(returns: Tensor, usable: Tensor, starts: Tensor, longest: int) -> Tensor:
    """(L, A), L ≤ longest: what the log return of a block's k-th bar must lose for a fair price.

    ln of Σ e^(R_k) over Σ e^(R_(k−1)), both over the starts that have k bars, R_k their return over k bars: with it
    the mean of S over all starts stays what it was, whatever the returns' autocorrelation, bar after bar.
    """
    worth = returns.new_ones(len(starts), returns.shape[1])
    place, rows = starts, list[Tensor]()
    while len(place) and len(rows) < longest:
        after = worth * returns[place].exp()
        rows.append((after.sum(0) / worth.sum(0)).log())
        goes_on = place + 1 < len(usable)
        place, worth = place[goes_on] + 1, after[goes_on]
        worth, place = worth[usable[place]], place[usable[place]]
    return torch.stack(rows)
