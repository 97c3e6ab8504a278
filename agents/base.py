"""The one interface of every hedger, and what the classical ones share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor

from envs.contract import Contract
from envs.decision import Band
from envs.observation import Observation


class Diverged(RuntimeError):
    """Learning has gone wrong and cannot go on: one line that says how."""


class Agent(Protocol):
    """Sees one hedger's observation (P, 1, ·) and says within which bands its hedges may stay."""

    @property
    def name(self) -> str: ...

    def band(self, observation: Observation) -> Band: ...


class Classical(ABC):
    """Base of the hedges in `agents/classical/`, one file each.

    One that leaves a positive number to be tuned says in `start` where the search begins, and takes it as its last
    argument; before it comes, where `after` names another such hedge, what that one was tuned to.
    """

    name: ClassVar[str]
    start: ClassVar[float | None] = None
    after: ClassVar[str | None] = None
    options: ClassVar[bool] = False  # whether it wants options among what hedges

    @abstractmethod
    def band(self, observation: Observation) -> Band:
        """Within which the hedges may stay."""


def with_options(contract: Contract) -> bool:
    """Whether some of what hedges is an option."""
    return not all(hedge.instrument.linear for hedge in contract.hedges)


def around(observation: Observation, centre: Tensor, half_width: Tensor, options: bool = False) -> Band:
    """Bands at `centre` ± `half_width`, broadcast to (P, 1, K); hedging options are left alone unless `options`."""
    shape = observation.hedge
    lower, upper = (centre - half_width).expand_as(shape), (centre + half_width).expand_as(shape)
    if options or not with_options(observation.scene.contract):
        return Band(lower, upper)
    traded = torch.tensor([h.instrument.linear for h in observation.scene.contract.hedges], device=shape.device)
    return Band(torch.where(traded, lower, shape), torch.where(traded, upper, shape))


def at_volatility(observation: Observation, volatility: Tensor) -> Tensor:
    """(P, G, K): neutral where each asset's implied volatility at the money, to the last expiry, were `volatility`.

    `volatility` (P, 1, K) per √year; smiles and term structures keep their shape.
    """
    scene = observation.scene
    implied = [
        view.surface.volatility(view.quote, view.memory, view.quote.spot[:, None], exposure.last_bars[:, None])[:, 0]
        for view, exposure in zip(scene.views, scene.exposures, strict=True)
    ]
    stretches = [torch.ones_like(one) for one in implied]
    for asset, ratio in zip(scene.assets, (volatility / scene.columns(implied))[:, 0].unbind(-1), strict=True):
        stretches[asset] = ratio
    return at_stretches(observation, stretches)


def at_stretches(observation: Observation, stretches: list[Tensor]) -> Tensor:
    """(P, G, K): neutral where each asset's implied volatilities were `stretches` (P,) times as high."""
    scene = observation.scene
    each = zip(scene.views, stretches, strict=True)
    cases = [scene.deltas(a, view.quote.spot[:, None], one[:, None])[:, 0] for a, (view, one) in enumerate(each)]
    return scene.neutral(cases, observation.worth)


def neutral_to(greek: Literal["gamma", "vega"], observation: Observation) -> Band:
    """Closed where options bring `greek` to its target, and what is linear delta, as far as the limit lets them.

    Orders expect the contract's own greek of an asset's later options, so one option an asset is neutral at once.
    """
    scene, limit = observation.scene.steering(greek), observation.limit
    neutral = scene.neutral(tuple(each.delta for each in scene.exposures), observation.worth)
    return around(observation, neutral.maximum(-limit).minimum(limit), 0 * limit, options=True)


def now_and_then(observation: Observation, centre: Tensor, every: float) -> Band:
    """Closed at `centre` at each `every`-th decision, rounded to whole ones, and where nothing is held yet; else open.

    Decisions are counted on the bars that the market's filters have seen.
    """
    scene, hedge = observation.scene, observation.hedge
    count = [view.memory.bars // scene.contract.decision_bars for view in scene.views]
    due = (scene.columns(count) % max(1, round(every)) == 0) | (hedge == 0)
    return around(observation, torch.where(due, centre, hedge), torch.zeros_like(hedge))
