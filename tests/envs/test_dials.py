"""Dials: a task turned to other values of its risk aversion, costs and target, and what the policy sees of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from envs import dials
from envs.seeding import generators
from envs.task import Task
from envs.types import BadInput
from tests.train import support

DIALS: dict[str, Any] = {
    "aversion": {"low": 0.2, "high": 0.8, "value": 0.5},
    "cost": {"low": 0.5, "high": 8.0, "value": 1.0},
    "target_delta": {"low": -0.5, "high": 0.5, "value": 0.0},
}


def task(**changes: Any) -> Task:
    return support.task(dials=DIALS, **changes)


def test_a_turned_task_has_the_values_and_only_they_change() -> None:
    before = task()
    after = before.at(aversion=0.8, cost=4.0, target_delta=0.3)
    assert after.objective.weight == 0.8  # type: ignore[attr-defined]
    assert after.contract.target.delta == 0.3
    (old,), (new,) = (each.contract.hedges[0].execution.tiers for each in (before, after))
    assert (new.taker, new.maker) == pytest.approx((4 * old.taker, 4 * old.maker))
    assert {name: dial.value for name, dial in after.contract.dials.items()} == {
        "aversion": 0.8,
        "cost": 4.0,
        "target_delta": 0.3,
    }
    back = after.at(aversion=0.5, cost=1.0, target_delta=0.0)
    assert back == before
    entropic = task(objective={"kind": "entropic", "risk_aversion": 3.0}).at(aversion=0.7)
    assert entropic.objective.risk_aversion == 0.7  # type: ignore[attr-defined]


def test_the_policy_sees_each_dials_place_in_its_range() -> None:
    """Geometric for costs (2 is halfway from 0.5 to 8), linear where the range holds 0."""
    turned = task().at(aversion=0.2, cost=2.0, target_delta=0.5)
    world = turned.world(3, 2, *generators(1, 1))
    world.reset()
    seen = dict(zip(world.observer.names, world.observation.features.unbind(-1), strict=True))
    for name, place in (("aversion", -1.0), ("cost", 0.0), ("target_delta", 1.0)):
        torch.testing.assert_close(seen[name], torch.full((3, 2), place), atol=1e-6, rtol=0)


def test_a_task_without_dials_has_neither_features_nor_a_hash_of_them() -> None:
    plain = support.task()
    assert set(task().observer().names) - set(plain.observer().names) == set(DIALS)
    assert "dials" not in plain.contract.model_dump()
    assert task().observer().sha256 != task().at(cost=2.0).observer().sha256


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"cost": 9.0}, "dial cost = 9 is outside its range 0.5 to 8; move it inside"),
        ({"moon": 1.0}, "dial 'moon' is not this task's; it has aversion, cost, target_delta"),
    ],
)
def test_a_wrong_dial_is_told(values: dict[str, float], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        task().at(**values)


@pytest.mark.parametrize(("low", "high", "value"), [(1.0, 1.0, 1.0), (2.0, 1.0, 1.5), (0.0, 1.0, 2.0)])
def test_a_dial_without_a_range_around_its_value_is_refused(low: float, high: float, value: float) -> None:
    with pytest.raises(ValueError, match="a dial needs low <= value <= high and a range"):
        support.task(dials={"cost": {"low": low, "high": high, "value": value}})


def test_members_fill_the_ranges_evenly() -> None:
    """Of 8 members, each dial takes 8 places at equal distances, both ends among them."""
    contract = task().contract
    found = dials.spread(contract, 8)
    for name, dial in contract.dials.items():
        places = [dial.model_copy(update={"value": values[name]}).place for values in found]
        assert sorted(places) == pytest.approx(torch.linspace(-1, 1, 8).tolist(), abs=1e-6)
    assert dials.spread(support.task().contract, 1) == [{}]
