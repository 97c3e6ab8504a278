"""A warm start by pathwise gradients: the simulator is differentiable, so the measure's gradient passes through it.

Buehler, Gonon, Teichmann and Wood (2019), Quantitative Finance 19, 1271. PPO goes on from here, on the environment as
it is: whole lots, clipped actions and all else that has no gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from agents.learned import inputs
from agents.network import ActorNetwork
from envs import decision
from envs.hedging import HedgingWorld
from envs.task import Task
from envs.volatility.memory import Memory
from train import boundary as liquidation
from train.duals import nearer, outlook

NAME = "pathwise"  # in `Settings.warm_up_from`
MAX_NORM = 1.0  # of the gradient
DUAL_STEP = 0.1  # of the way to each batch's own dual

Start = tuple[Any, tuple[Memory, ...]]
Episode = Callable[[HedgingWorld, ActorNetwork], Tensor]


def divisible(task: Task) -> Task:
    """The task with hedges of any size: whole lots have no gradient."""
    hedges = tuple(hedge.model_copy(update={"lot_fraction": 0.0}) for hedge in task.contract.hedges)
    return task.model_copy(update={"contract": task.contract.model_copy(update={"hedges": hedges})})


def warmed(
    worlds: Sequence[HedgingWorld],
    network: ActorNetwork,
    iterations: int,
    learning_rate: float,
    report: Callable[[int], None] = lambda iteration: None,
    boundary: float = 0.0,
) -> ActorNetwork:
    """`network` after Adam steps on the mean objective of `worlds`, each over fresh episodes on all of their paths.

    In `controlled` worlds the gradient is without the martingale part of the rewards, which is most of its noise.
    With `boundary`, the width of `train.boundary`'s kernel, it counts liquidations too, and each of `worlds` holds two
    hedgers a path; raises BadInput for a book whose liquidation leaves something.
    """
    episode: Episode = _episode
    if boundary > 0:
        for world in worlds:
            liquidation.check(world)
        episode = partial(liquidation.episode, width=boundary)
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    starts = [_judged(world, network, episode) for world in worlds]
    for iteration in range(iterations):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - iteration / iterations)
        optimizer.zero_grad()
        for place, (world, start) in enumerate(zip(worlds, starts, strict=True)):
            world.begin(*start)
            (-episode(world, network) / len(worlds)).backward()  # type: ignore[no-untyped-call]
            late = outlook(world.objective, world.episode.loss.detach()[:, 0])
            world.outlook = nearer(world.outlook, late, DUAL_STEP)
            starts[place] = _next(world, start)
        torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_NORM)
        optimizer.step()
        report(iteration + 1)
    return network


@torch.no_grad()
def _judged(world: HedgingWorld, network: ActorNetwork, episode: Episode) -> Start:
    """Episodes that give the world its first outlook; where the next ones begin."""
    start = world.market.initial(world.paths)
    world.begin(*start)
    episode(world, network)
    world.outlook = outlook(world.objective, world.episode.loss[:, 0])
    return _next(world, start)


def _next(world: HedgingWorld, start: Start) -> Start:
    """Where the market has come to, or where it began if it begins anew with each episode."""
    return start if world.market.renewed else (world.state, world.episode.memories)


def _episode(world: HedgingWorld, network: ActorNetwork) -> Tensor:
    """(), the mean over books of an episode's rewards in units of loss, differentiable in the network's weights."""
    earned = torch.zeros_like(world.episode.loss)
    for _ in range(world.contract.decisions):
        seen = world.observation
        earned = earned + world.advance(decision.read(network(inputs(network, seen)), seen))[0]
    return earned.mean() * world.scale
