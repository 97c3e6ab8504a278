"""What an environment is given by keyword, and which arguments it refuses."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from envs.gym import HedgingEnv, HedgingVectorEnv
from envs.task import Task
from envs.types import BadInput
from tests.contracts.test_environment import CALM, actions, same, short, trajectory

pytestmark = pytest.mark.usefixtures("small_market")


def test_settings_reach_the_world() -> None:
    whole = Task.load("short_call")
    objective = whole.objective.model_copy(update={"weight": 0.25})
    rules = short("short_call").contract
    env = gymnasium.make("Rehedge/ShortCall-v0", contract=rules, objective=objective, market=CALM)
    world = env.unwrapped.batch.world
    assert world.contract is rules
    assert world.objective is objective
    assert type(world.market).__name__ == "GbmMarket"
    vector = gymnasium.make_vec("Rehedge/ShortCall-v0", num_envs=6, hedgers=3, contract=rules)
    assert isinstance(vector.unwrapped, HedgingVectorEnv)
    assert (vector.unwrapped.world.paths, vector.unwrapped.world.group_size) == (2, 3)


def test_without_a_seed_every_environment_is_its_own() -> None:
    one, other = (HedgingVectorEnv(num_envs=3, task=short("short_call")).reset()[0] for _ in range(2))
    assert (one != other).any()
    env = HedgingVectorEnv(num_envs=3, task=short("short_call"))
    assert (env.reset(seed=1)[0] != env.reset()[0]).any()


def test_a_vectors_picture_begins_anew_with_the_episode() -> None:
    env = HedgingVectorEnv(num_envs=2, task=short("short_call"), render_mode="rgb_array")
    env.reset(seed=1)
    lengths = []
    for action in actions(env, 4):
        env.step(action)
        lengths.append(len(env.tape.days))
    assert lengths == [2, 3, 1, 2]
    frames = env.render()
    assert frames is not None
    assert [frame.shape for frame in frames] == [(600, 800, 3)]


def test_seed_zero_is_a_seed() -> None:
    env = HedgingEnv(task=short("short_call"))
    assert same(trajectory(env, 0, 2), trajectory(HedgingEnv(task=short("short_call")), 0, 2))


# Bad arguments.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_envs": 0}, r"num_envs=0 .*give at least one group"),
        ({"num_envs": -4}, r"num_envs=-4 "),
        ({"num_envs": 3, "hedgers": 2}, r"num_envs=3 .*hedgers=2"),
        ({"num_envs": 2, "hedgers": 0}, r"hedgers=0"),
        ({"task": "no_such_task"}, r"task 'no_such_task': unknown; .*basis_trade.*uniswap_lp"),
        ({"task": "no_such.toml"}, r"no_such\.toml: no such file"),
        ({"render_mode": "human"}, r"render_mode='human' is unknown; use one of rgb_array"),
    ],
)
def test_bad_arguments_are_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        HedgingVectorEnv(**{"num_envs": 2, **settings})
    assert "\n" not in str(caught.value)


def test_an_action_of_the_wrong_shape_is_refused_in_one_line() -> None:
    env = HedgingVectorEnv(num_envs=3, task=short("short_call"))
    env.reset(seed=1)
    for shape in ((3, 3), (2, 2), (3,), (6, 1)):
        with pytest.raises(BadInput, match=r"^actions are of shape [^\n]*$"):
            env.step(np.zeros(shape, dtype=np.float32))
