"""A warm start by imitation: the network learns to answer as another hedger would, where its own answers lead it.

Ross, Gordon and Bagnell (2011), AISTATS: who learns from the teacher's states alone is lost in those of its own making.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from agents.base import Agent
from agents.learned import Learned, inputs
from agents.network import ActorNetwork
from envs import decision
from envs.hedging import HedgingWorld


def cloned(
    worlds: Sequence[HedgingWorld],
    network: ActorNetwork,
    teacher: Agent,
    iterations: int,
    learning_rate: float,
    report: Callable[[int], None] = lambda iteration: None,
) -> ActorNetwork:
    """`network` after Adam steps towards the raw actions that are `teacher`'s bands, a step per decision.

    An iteration is as many decisions as an episode has. Each of `worlds` holds one hedger a path.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    for world in worlds:
        world.reset()
    for iteration in range(iterations):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - iteration / iterations)
        for _ in range(worlds[0].contract.decisions):
            optimizer.zero_grad()
            for world in worlds:
                _missed(world, network, teacher).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            for world in worlds:
                _advanced(world, network)
        report(iteration + 1)
    return network


def _missed(world: HedgingWorld, network: ActorNetwork, teacher: Agent) -> torch.Tensor:
    """(), mean squared difference of the raw actions."""
    seen = world.observation
    return functional.mse_loss(network.layers(inputs(network, seen)), decision.written(teacher.band(seen), seen))


@torch.no_grad()
def _advanced(world: HedgingWorld, network: ActorNetwork) -> None:
    world.advance(Learned(network).band(world.observation), restart=True)
