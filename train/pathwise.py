"""A warm start by pathwise gradients: the simulator is differentiable, so the measure's gradient passes through it.

Buehler, Gonon, Teichmann and Wood (2019), Quantitative Finance 19, 1271. PPO goes on from here, on the environment as
it is: whole lots, clipped actions and all else that has no gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from agents.network import ActorNetwork
from envs import decision
from envs.hedging import HedgingWorld
from envs.task import Task

MAX_NORM = 1.0  # of the gradient
DUAL_STEP = 0.1  # of the way to each batch's own dual


def divisible(task: Task) -> Task:
    """The task with hedges of any size: whole lots have no gradient."""
    hedges = tuple(hedge.model_copy(update={"lot_fraction": 0.0}) for hedge in task.contract.hedges)
    return task.model_copy(update={"contract": task.contract.model_copy(update={"hedges": hedges})})


def warmed(
    world: HedgingWorld,
    network: ActorNetwork,
    iterations: int,
    learning_rate: float,
    report: Callable[[int], None] = lambda iteration: None,
) -> ActorNetwork:
    """`network` after Adam steps on the world's objective, each over fresh episodes on all of its paths."""
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    state, memories = world.market.initial(world.paths)
    dual: Tensor | None = None
    for iteration in range(iterations):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - iteration / iterations)
        world.begin(state, memories)
        losses = _episode(world, network)
        seen = world.objective.dual(losses.detach())
        dual = seen if dual is None else torch.lerp(dual, seen, DUAL_STEP)
        optimizer.zero_grad()
        world.objective.transform(losses, dual).mean().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_NORM)
        optimizer.step()
        state, memories = world.state, world.episode.memories
        report(iteration + 1)
    return network


def _episode(world: HedgingWorld, network: ActorNetwork) -> Tensor:
    """Final losses (P·G,) of one episode, differentiable in the network's weights."""
    for _ in range(world.contract.decisions):
        world.advance(decision.read(network(world.observation.features), world.observation))
    return world.episode.loss.flatten()
