"""A stress scenario: the calibrated market in which something goes wrong on every path, at a time that is known.

One file of `train/scenarios/` each, picked up by being there.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from itertools import combinations
from typing import ClassVar

import torch
from torch import Generator, Tensor

from envs.calibration import Calibration
from envs.contract import Contract
from envs.hedging import HedgingWorld
from envs.markets.garch import GarchMarket, State
from envs.task import Task
from envs.types import Quote
from envs.volatility.garch import RegimeTensors
from envs.volatility.memory import Memory
from envs.volatility.regimes import spectral_radius, stationary_variance
from train import msgarch


@dataclass(frozen=True)
class Start:
    """What all scenarios have in common: the same states of the same market at the book's opening."""

    task: Task
    market: GarchMarket
    state: State
    memories: tuple[Memory, ...]

    @property
    def paths(self) -> int:
        return len(self.state.spot)


class Scenario:
    """Nothing goes wrong, until a file says what: by the hooks below, or by a world of its own."""

    name: ClassVar[str]
    about: ClassVar[str]  # what happens, in words
    when: ClassVar[float] = 0.5  # of the book's life, rounded to a whole decision, and not before the first

    def world(self, start: Start, hedgers: int, generator: Generator) -> HedgingWorld:
        """`hedgers` books on each path, at the start of their episodes."""
        contract = self.contract(start.task.contract)
        market = copy(start.market)
        market.generator = generator
        disturbed = Disturbed(self.market(market), self, self.bar(contract), contract.bar_hours)
        made = HedgingWorld(disturbed, contract, start.task.objective, start.paths, hedgers, generator)
        made.begin(disturbed.begun(self.state(start)), start.memories)
        return made

    def bar(self, contract: Contract) -> int:
        """At the end of which it happens, when a decision falls due."""
        return contract.decision_bars * max(1, round(self.when * contract.decisions))

    def contract(self, contract: Contract) -> Contract:
        """By what rules the hedges trade."""
        return contract

    def market(self, market: GarchMarket) -> GarchMarket:
        """What the prices follow; `market` is the scenario's own."""
        return market

    def state(self, start: Start) -> State:
        """Where they begin."""
        return start.state

    def moved(self, hours: Tensor, side: Tensor) -> Tensor:
        """(P,) log of what the price is multiplied by, so many `hours` (P,) after it happens; `side` (P,) is ±1."""
        return torch.zeros_like(side)

    def misread(self, hours: Tensor, side: Tensor) -> Tensor:
        """(P,) log of what the index shows over the price."""
        return torch.zeros_like(side)

    def quote(self, quote: Quote, hours: Tensor, side: Tensor) -> Quote:
        """What else the venue shows and does."""
        return quote


@dataclass(frozen=True)
class Place:
    """Of a disturbed market."""

    inner: State
    bar: Tensor  # (P,) since the opening
    side: Tensor  # (P,) 1 on every other path and −1 on the rest


class Disturbed:
    """A market that a scenario changes; what it changes in the price, the memories see and the future inherits."""

    drift = 0.0
    renewed = False

    def __init__(self, market: GarchMarket, scenario: Scenario, bar: int, bar_hours: float) -> None:
        self.market, self.scenario, self.at, self.bar_hours = market, scenario, bar, bar_hours
        self.calibrations, self.filters, self.surfaces = market.calibrations, market.filters, market.surfaces

    def begun(self, inner: State) -> Place:
        count = torch.arange(len(inner.spot), device=inner.spot.device)
        return Place(inner, torch.zeros_like(count), (1 - 2 * (count % 2)).to(inner.spot.dtype))

    def initial(self, paths: int) -> tuple[Place, tuple[Memory, ...]]:
        state, memories = self.market.initial(paths)
        return self.begun(state), memories

    def step(self, state: Place, memories: tuple[Memory, ...]) -> tuple[Place, tuple[Memory, ...], tuple[Quote, ...]]:
        inner, seen, _ = self.market.step(state.inner, memories)
        after = Place(inner, state.bar + 1, state.side)
        shown = inner.spot.log() + self._shown(after)[:, None] - state.inner.spot.log() - self._shown(state)[:, None]
        if bool((self._shown(after) != self._shown(state)).any()):
            each = zip(self.filters, memories, shown.unbind(-1), strict=True)
            seen = tuple(filter.update(memory, log_return) for filter, memory, log_return in each)
        return after, seen, self.quote(after, seen)

    def quote(self, state: Place, memories: tuple[Memory, ...]) -> tuple[Quote, ...]:
        hours, side = self._hours(state.bar), state.side
        now, before = self._shown(state).exp(), self._shown(replace(state, bar=state.bar - 1)).exp()
        price = self.scenario.moved(hours, side).exp()
        shown = []
        for quote in self.market.quote(state.inner, memories):
            changed = replace(
                quote,
                spot=quote.spot * now,
                low=torch.minimum(quote.low * torch.minimum(now, before), quote.spot * now),
                high=torch.maximum(quote.high * torch.maximum(now, before), quote.spot * now),
                mark=quote.mark * price,
            )
            shown.append(self.scenario.quote(changed, hours, side))
        return tuple(shown)

    def _shown(self, state: Place) -> Tensor:
        """(P,) log of the index over the undisturbed price."""
        hours = self._hours(state.bar)
        return self.scenario.moved(hours, state.side) + self.scenario.misread(hours, state.side)

    def _hours(self, bar: Tensor) -> Tensor:
        return ((bar - self.at) * self.bar_hours).to(torch.float64)


def confined(market: GarchMarket, stormy: bool) -> GarchMarket:
    """The market in its stormy regimes alone, or without them."""
    own = copy(market)
    laws = []
    for law in market.laws:
        changed, kept = copy(law), regimes(law.calibration, stormy)
        chances = torch.zeros_like(law.filter.regimes.transition)
        chances[:, kept] = law.filter.regimes.transition[:, kept]
        chances[chances.sum(-1) == 0, kept[0]] = 1
        changed.upper = (chances / chances.sum(-1, keepdim=True)).cumsum(-1).T.contiguous()[:-1]
        laws.append(changed)
    own.laws = tuple(laws)
    return own


def moved_into(start: Start, stormy: bool) -> State:
    """The start with every path in one of those regimes: where it was in another, in the calmest of them."""
    columns = []
    for asset, law in enumerate(start.market.laws):
        regime, kept = start.state.regime[:, asset], regimes(law.calibration, stormy)
        inside = torch.isin(regime, torch.tensor(kept, device=regime.device))
        columns.append(torch.where(inside, regime, kept[0]))
    return replace(start.state, regime=torch.stack(columns, -1))


def regimes(calibration: Calibration, stormy: bool) -> list[int]:
    """The stormy regimes: those of the highest variance of all that can last by themselves; or the rest.

    A regime in which variance grows without end, as it may where the market soon leaves it, cannot last by itself.
    The calmest first, by its floor; where all are stormy, all.
    """
    every = msgarch.fed(RegimeTensors.of(calibration.regimes), calibration.shocks.news_gain)
    count = len(every.omega)
    groups = [list(kept) for size in range(1, count + 1) for kept in combinations(range(count), size)]
    lasting = [kept for kept in groups if _lasts(_alone(every, kept))]
    found = max(lasting, key=lambda kept: stationary_variance(_alone(every, kept)))
    rest = [k for k in range(count) if k not in found]
    return sorted(found if stormy or not rest else rest, key=lambda k: calibration.regimes.omega[k])


def _alone(every: RegimeTensors, kept: list[int]) -> RegimeTensors:
    chances = every.transition[kept][:, kept]
    own = {name: getattr(every, name)[kept] for name in ("omega", "alpha", "leverage", "beta")}
    return replace(every, transition=chances / chances.sum(-1, keepdim=True).clamp(min=1e-300), **own)


def _lasts(alone: RegimeTensors) -> bool:
    """Whether each regime leads to each other one, and the variance is stationary."""
    count = len(alone.omega)
    within = torch.linalg.matrix_power(alone.transition + torch.eye(count), count)
    return bool((within > 0).all()) and spectral_radius(alone) < 1
