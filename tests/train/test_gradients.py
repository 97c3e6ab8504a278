"""Pathwise gradients against finite differences, in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from agents.network import ActorNetwork
from envs.hedging import HedgingWorld
from envs.seeding import generators
from envs.task import Task
from tests.train import support
from tests.train.test_learn import HEDGE
from train import pathwise

FREE_LOTS = [{**hedge, "lot_fraction": 0.0} for hedge in support.WITH_OPTION]
STEP = 1e-6  # of the weights, along a direction of length 1
SMALL_MARKET = {"bars": 24, "risk_aversion": 20.0}
TASKS = {
    "call": support.task(hedges=[HEDGE], **SMALL_MARKET),
    "option": support.task(hedges=FREE_LOTS, **SMALL_MARKET),
    "entropic": support.task(objective={"kind": "entropic"}, hedges=[HEDGE], **SMALL_MARKET),
    "coin": support.task(hedges=[HEDGE], numeraire="coin", **SMALL_MARKET),
}


def drawn(task: Task) -> tuple[HedgingWorld, ActorNetwork]:
    """A world in double precision and a network of random weights that moves its bands by some half-widths."""
    world = task.world(32, 1, generators(41, 1)[0], torch.float64, controlled=True)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        network = ActorNetwork(len(world.observer.names), (8,), "silu", task.actions).double()
    return world, network


def loss(world: HedgingWorld, network: ActorNetwork) -> Tensor:
    """Of the same episodes whenever it is asked for."""
    world.generator.manual_seed(5)
    world.begin(*world.market.initial(world.paths))
    return -pathwise._episode(world, network)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_gradient_is_the_slope_of_the_loss_in_any_direction(task: Task) -> None:
    """A difference over 2·STEP errs by rounding, 1e-16/STEP of the loss, and by a kink that one of the few hundred
    trades may pass: for all but one of six directions it must agree to 1e-6 of the gradient's length.
    """
    world, network = drawn(task)
    before = nn.utils.parameters_to_vector(network.parameters()).detach()
    value = loss(world, network)
    assert torch.equal(value, loss(world, network))
    gradient = nn.utils.parameters_to_vector(torch.autograd.grad(value, list(network.parameters())))
    assert gradient.norm() > 1e-4
    agreed = 0
    for generator in generators(6, 6):
        direction = torch.randn(len(before), dtype=torch.float64, generator=generator)
        direction = direction / direction.norm()
        ends = []
        for step in (STEP, -STEP):
            nn.utils.vector_to_parameters(before + step * direction, network.parameters())
            with torch.no_grad():
                ends.append(loss(world, network))
        slope = (ends[0] - ends[1]) / (2 * STEP)
        agreed += bool((slope - gradient @ direction).abs() < 1e-6 * gradient.norm())
    assert agreed >= 5
