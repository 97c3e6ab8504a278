"""Worlds that differ in where their tasks' dials stand, side by side: what one policy for many tasks learns from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from agents.vec_env import Step
from envs import dials
from envs.hedging import HedgingWorld
from envs.task import Task
from envs.types import BadInput


class Family:
    """One `World` (`agents/vec_env.py`) of several of the same size and shape; of one, that one."""

    def __init__(self, worlds: Sequence[HedgingWorld]) -> None:
        first = worlds[0]
        self.worlds = tuple(worlds)
        self.num_envs = sum(world.num_envs for world in worlds)
        self.group_size, self.actor_features = first.group_size, first.actor_features
        self.observation_space, self.action_space = first.observation_space, first.action_space
        self.device, self.names = first.device, first.observer.names

    def reset(self) -> Tensor:
        return _joined([world.reset() for world in self.worlds])

    def step(self, action: Tensor) -> Step:
        parts = torch.split(action, self.worlds[0].num_envs)
        steps = [world.step(part) for world, part in zip(self.worlds, parts, strict=True)]
        observation = _joined([step.observation for step in steps])
        return Step(observation, *(torch.cat(column) for column in list(zip(*steps, strict=True))[1:]))


def members(task: Task, count: int, paths: int, hedgers: int, generator: Generator) -> list[HedgingWorld]:
    """`count` controlled worlds whose dials fill their ranges, of `paths` in all; without dials one.

    Raises BadInput where `count` does not divide `paths`.
    """
    if not task.contract.dials:
        count = 1
    if paths % count:
        raise BadInput(f"{paths} paths do not part into {count} members; make them a multiple of it")
    tasks = [task.at(**values) for values in dials.spread(task.contract, count)]
    return [each.world(paths // count, hedgers, generator, controlled=True) for each in tasks]


def _joined(observations: list[Tensor]) -> Tensor:
    """(B, F) of all, laid out in memory feature by feature as each is."""
    return torch.cat([each.T for each in observations], 1).T
