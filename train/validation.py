"""A policy against action 0 and the delta hedge while it learns, on paths of their own, always the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from agents.base import Agent
from agents.classical.delta import Delta
from agents.learned import Learned, Untrained
from agents.network import ActorNetwork
from envs.hedging import HedgingWorld
from train import cohort
from train.duals import outlook
from train.statistics import Y_WEIGHT


class Validation(NamedTuple):
    """Fractions of the notional; negative is better."""

    improvement: float  # trained measure of the policy less that of action 0
    y: float  # mean + 1.5 std of the policy's loss
    y_delta: float  # of the delta hedge's


class Validator:
    """Judges without the martingale part of the rewards.

    Without it a difference of a basis point shows on paths too few to show it in the losses themselves.
    """

    def __init__(self, world: HedgingWorld) -> None:
        """`world` holds two hedgers a path and is controlled."""
        self.world = world
        self.start = world.market.initial(world.paths)
        self.noise = world.generator.get_state()
        self._carried([Untrained(), Delta()])
        self.y_delta = _y(world.episode.loss[:, 1])
        world.outlook = outlook(world.objective, world.episode.loss[:, 0])

    def judged(self, network: ActorNetwork) -> Validation:
        """The improvement is measured at action 0's dual."""
        earned = self._carried([Untrained(), Learned(network.to(self.world.device))])
        improvement = float(earned[:, 0].mean() - earned[:, 1].mean()) * self.world.scale
        return Validation(improvement, _y(self.world.episode.loss[:, 1]), self.y_delta)

    @torch.no_grad()
    def _carried(self, agents: Sequence[Agent]) -> Tensor:
        """Rewards (P, 2) that add up over whole episodes."""
        world = self.world
        world.generator.set_state(self.noise)
        world.begin(*self.start)
        earned = torch.zeros_like(world.episode.loss)
        for _ in range(world.contract.decisions):
            earned += world.advance(cohort.joint(world, agents))[0]
        return earned


def mean(each: Sequence[Validation]) -> Validation:
    """Of a family's worlds."""
    return Validation(*(sum(column) / len(each) for column in zip(*each, strict=True)))


def _y(losses: Tensor) -> float:
    return float(losses.mean() + Y_WEIGHT * losses.std())
