"""The gradient that counts liquidations, against finite differences."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agents.network import ActorNetwork
from envs.hedging import HedgingWorld
from envs.seeding import generators
from envs.task import Task
from envs.types import BadInput
from tests.train import support
from tests.train.test_learn import HEDGE
from train import boundary, pathwise
from train.duals import outlook
from train.pathwise import Episode

PATHS = 8192
WIDTH = 0.03  # of the kernel: wide beside a bar's moves of 0.006, narrow beside the book's of 0.06
STEP = 0.05  # of the raw action
COIN = [{"instrument": {"kind": "spot"}}]
THIN = {"mode": "isolated", "collateral": [{"amount": 0.07}]}


def coin(bars: int = 96) -> Task:
    """A coin held for some hours."""
    return support.task(bars=bars, decision_bars=1, claims=COIN, hedges=[HEDGE], margin=THIN, risk_aversion=2.0)


def constant(task: Task, offset: float) -> ActorNetwork:
    """Keeps the first hedge at one place, whatever it sees."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = ActorNetwork(len(task.observer().names), (1,), "silu", task.actions)
    last = network.layers[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
        last.bias[:2] = torch.tensor([offset, -1.0])
    return network


def begun(world: HedgingWorld) -> None:
    """The same episodes whenever it is asked for."""
    world.generator.manual_seed(5)
    world.begin(*world.market.initial(world.paths))


def gradient(world: HedgingWorld, task: Task, episode: Episode) -> float:
    """Of the loss, by the place of the hedge."""
    network = constant(task, 0.0)
    begun(world)
    (-episode(world, network)).backward()  # type: ignore[no-untyped-call]
    bias = network.layers[-1].bias
    assert isinstance(bias, Tensor)
    assert bias.grad is not None
    return float(bias.grad[0])


@torch.no_grad()
def losses(world: HedgingWorld, offset: float, task: Task) -> Tensor:
    begun(world)
    boundary.episode(world, constant(task, offset), WIDTH)
    return world.episode.loss[:, 0].double()


def test_the_whole_gradient_is_the_slope_that_a_plain_one_misses() -> None:
    """The slope of E φ by differences over common paths, with their standard error."""
    task = coin()
    world = task.world(PATHS, 2, generators(1, 1)[0], controlled=True)
    world.outlook = outlook(world.objective, losses(world, 0.0, task))
    ends = [world.objective.transform(losses(world, place, task), world.outlook.dual) for place in (STEP, -STEP)]
    slopes = (ends[0] - ends[1]) / (2 * STEP)
    slope, se = float(slopes.mean()), float(slopes.std()) / math.sqrt(PATHS)
    whole = gradient(world, task, partial(boundary.episode, width=WIDTH))
    plain = gradient(world, task, pathwise._episode)
    assert abs(whole - slope) < 3 * se
    assert abs(plain - slope) > 5 * se


def test_a_warm_start_counts_liquidations_where_it_is_told_to() -> None:
    ends = []
    for width in (0.0, WIDTH):
        task = coin(bars=12)
        world = task.world(256, 2, generators(2, 1)[0], controlled=True)
        network = pathwise.warmed([world], constant(task, 0.0), 2, 1e-2, boundary=width)
        ends.append(torch.nn.utils.parameters_to_vector(network.parameters()))
    assert not torch.equal(*ends)


@pytest.mark.parametrize(
    ("margin", "hedges"), [({"mode": "none"}, [HEDGE]), (THIN, [HEDGE, HEDGE])], ids=["none", "isolated"]
)
def test_books_that_are_not_closed_as_one_are_refused(margin: dict[str, Any], hedges: list[dict[str, Any]]) -> None:
    task = support.task(margin=margin, hedges=hedges)
    world = task.world(4, 2, generators(2, 1)[0], controlled=True)
    with pytest.raises(BadInput, match="warm_up_boundary"):
        pathwise.warmed([world], constant(task, 0.0), 1, 1e-2, boundary=WIDTH)
