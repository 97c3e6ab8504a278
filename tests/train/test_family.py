"""Worlds side by side are one world, and what learns from them sees where each one's dials stand."""

from __future__ import annotations

import pytest
import torch

from envs.seeding import generators
from envs.types import BadInput
from tests.envs.test_dials import task
from tests.train import support
from tests.train.test_learn import CPU, SMALL, weights
from train.family import Family, members
from train.learn import learn


def test_a_step_of_a_family_is_a_step_of_each_of_its_worlds() -> None:
    family, alone = (Family(members(task(), 4, 8, 2, *generators(3, 1))) for _ in range(2))
    assert family.num_envs == 16
    assert [world.contract.dials["cost"].value for world in family.worlds] != [1.0] * 4
    torch.testing.assert_close(family.reset(), torch.cat([world.reset() for world in alone.worlds]))
    action = torch.rand(16, 2, generator=torch.Generator().manual_seed(1)) - 0.5
    found = family.step(action)
    expected = [world.step(part) for world, part in zip(alone.worlds, action.split(4), strict=True)]
    for field in found._fields:
        torch.testing.assert_close(getattr(found, field), torch.cat([getattr(step, field) for step in expected]))


def test_a_task_without_dials_is_one_world() -> None:
    (world,) = members(support.task(), 4, 6, 2, *generators(3, 1))
    assert (world.paths, world.controlled) == (6, True)
    with pytest.raises(BadInput, match="6 paths do not part into 4 members"):
        members(task(), 4, 6, 2, *generators(3, 1))


def test_one_policy_learns_from_every_member_and_hears_its_dials() -> None:
    found = learn(task(), SMALL.model_copy(update={"members": 2, "steps": 512}), 1, CPU)
    assert weights(found.network).isfinite().all()
    low, high = found.trained_range["cost"]
    assert (low, high) == (-1, 1)
    features = torch.zeros(2, found.network.features)
    features[1, list(found.trained_range).index("aversion")] = 1.0
    calm, wary = found.network(features)
    assert not torch.equal(calm, wary)
