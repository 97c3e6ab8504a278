"""What learning remembers of final losses, and how far an outlook moves towards a new one."""

from __future__ import annotations

import pytest
import torch

from envs.hedging import Step
from envs.rewards import Outlook
from envs.seeding import generators
from tests.train import support
from train.duals import MEMORY, Late, nearer, outlook


def test_an_outlook_moves_a_share_of_the_way() -> None:
    old, new = Outlook(torch.tensor([1.0, 2.0]), 0.0, 4.0), Outlook(torch.tensor([3.0, 2.0]), 1.0, 2.0)
    moved = nearer(old, new, 0.25)
    torch.testing.assert_close(moved.dual, torch.tensor([1.5, 2.0]))
    assert (moved.drift, moved.spread) == (0.25, 3.5)


def test_late_losses_are_those_of_finished_episodes_the_latest_first() -> None:
    world = support.task().world(2, 2, *generators(1, 1))
    late = Late(world)
    before = world.outlook
    assert late.settle() is None
    assert world.outlook is before
    for losses in (torch.full((4,), 9.0), torch.linspace(0, 1, MEMORY - 1)):
        ended = torch.ones_like(losses, dtype=torch.bool)
        world.last = Step(losses, losses, ended, losses)
        late.note()
    world.last = Step(losses, losses, ~ended, losses + 100)
    late.note()
    kept = torch.cat([losses, torch.tensor([9.0])])
    measure = late.settle()
    assert measure is not None
    assert measure == pytest.approx(float(world.objective.value(kept)), rel=1e-6)
    expected = outlook(world.objective, kept)
    assert float(world.outlook.dual) == float(expected.dual)
    assert (world.outlook.drift, world.outlook.spread) == (expected.drift, expected.spread)
