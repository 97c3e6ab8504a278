"""Gymnasium's and Stable-Baselines3's own checks of the environments, their seeds, ends and docstrings."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

from envs.contract import Contract
from envs.gym import HedgingEnv, HedgingVectorEnv
from envs.hedging import LOSS_FEATURES
from envs.markets import garch as simulation
from envs.objective import MeanShortfall
from envs.types import BadInput

ID = "Rehedge/ShortCall-v0"
SHORT = Contract(option_bars=12, decision_bars=4)  # three decisions
UNBOUNDED = "ignore:.*A Box observation space (minimum|maximum) value is -?infinity:UserWarning"
HEADS = (
    "Description",
    "Action Space",
    "Observation Space",
    "Rewards",
    "Starting State",
    "Episode End",
    "Arguments",
    "Version History",
)


@pytest.fixture(autouse=True)
def _small_market(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about the start or the law of the shocks."""
    monkeypatch.setattr(simulation, "BURN_IN", 20)
    monkeypatch.setattr(simulation, "ATOMS", 1 << 12)


def actions(seed: int, steps: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (steps, *shape, 2)).astype(np.float32)


def trajectory(env: Any, seed: int, steps: int = 5, shape: tuple[int, ...] = ()) -> list[np.ndarray]:
    """Observations and rewards under the actions of `actions(0, …)`."""
    rows = [env.reset(seed=seed)[0]]
    for action in actions(0, steps, *shape):
        observation, reward, *_ = env.step(action)
        rows += [observation, np.asarray(reward)]
    return rows


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.filterwarnings(UNBOUNDED)
def test_gymnasium_finds_no_fault() -> None:
    env = gymnasium.make(ID)
    check_env(env.unwrapped)
    assert isinstance(env.unwrapped, HedgingEnv)


def test_stable_baselines3_finds_no_fault() -> None:
    env = HedgingEnv()
    check_env_for_sb3(env)
    assert env.action_space.shape == (2,)


def test_the_registered_id_makes_one_market_with_a_documented_observation() -> None:
    """Observer.names and the loss features; 180 decisions by default."""
    env = gymnasium.make(ID)
    observation, info = env.reset(seed=1)
    names = env.unwrapped.batch.world.observer.names
    assert observation.shape == env.observation_space.shape == (len(names) + LOSS_FEATURES,)
    assert observation in env.observation_space
    assert info == {}
    assert env.unwrapped.batch.contract.decisions == 180
    assert env.spec is not None
    assert env.spec.max_episode_steps is None


def test_the_registered_id_makes_a_vector_of_markets() -> None:
    env = gymnasium.make_vec(ID, num_envs=6, hedgers=2, contract=SHORT)
    assert isinstance(env.unwrapped, HedgingVectorEnv)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    observation, _ = env.reset(seed=1)
    assert observation in env.observation_space
    observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
    assert observation.shape == (6, *env.single_observation_space.shape)
    assert reward.shape == terminated.shape == truncated.shape == (6,)
    assert observation.dtype == np.float32
    assert reward.dtype == np.float64


def test_hedgers_of_one_path_are_adjacent_and_share_it() -> None:
    env = HedgingVectorEnv(num_envs=6, hedgers=2, contract=SHORT)
    env.reset(seed=3)
    action = np.zeros((6, 2), dtype=np.float32)
    _, reward, *_ = env.step(action)
    assert (reward[0::2] == reward[1::2]).all()
    assert len(set(reward.tolist())) == 3


@pytest.mark.parametrize("make", [lambda: gymnasium.make(ID), lambda: HedgingEnv(contract=SHORT)])
def test_a_seed_repeats_a_market_and_another_does_not(make: Any) -> None:
    one, again, other = (trajectory(make(), seed, steps=2) for seed in (5, 5, 6))
    assert same(one, again)
    assert not same(one, other)


def test_a_seed_repeats_whatever_came_before() -> None:
    env = HedgingVectorEnv(num_envs=4, contract=SHORT)
    one = trajectory(env, 5, shape=(4,))
    again = trajectory(env, 5, shape=(4,))
    assert same(one, again)
    assert not same(one, trajectory(env, 6, shape=(4,)))


def test_seed_zero_is_a_seed() -> None:
    env = HedgingEnv(contract=SHORT)
    assert same(trajectory(env, 0, steps=2), trajectory(HedgingEnv(contract=SHORT), 0, steps=2))


def test_without_a_seed_every_environment_is_its_own() -> None:
    one, other = (HedgingVectorEnv(num_envs=3, contract=SHORT).reset()[0] for _ in range(2))
    assert (one != other).any()
    env = HedgingVectorEnv(num_envs=3, contract=SHORT)
    assert (env.reset(seed=1)[0] != env.reset()[0]).any()


def test_the_single_environment_is_the_batch_of_one() -> None:
    alone, batch = HedgingEnv(contract=SHORT), HedgingVectorEnv(num_envs=1, contract=SHORT)
    assert (alone.reset(seed=9)[0] == batch.reset(seed=9)[0][0]).all()
    for number, action in enumerate(actions(1, 3)):
        observation, reward, terminated, truncated, info = alone.step(action)
        rows = batch.step(action[None])
        assert reward == rows[1][0]
        assert (terminated, truncated) == (rows[2][0], rows[3][0]) == (number == 2, False)
        last = rows[4]["final_obs"][0] if terminated else rows[0][0]
        assert (observation == last).all()
    assert info["loss"] == rows[4]["final_info"]["loss"][0]


def test_reset_starts_a_new_episode_at_any_time() -> None:
    env = HedgingEnv(contract=SHORT)
    env.reset(seed=2)
    env.step(np.ones(2, dtype=np.float32))
    observation, _ = env.reset()
    assert env.batch.world.episode.option.bars_left.tolist() == [12]
    assert observation[-LOSS_FEATURES] == 0  # the loss so far


def test_autoreset_happens_in_the_step_that_ends_and_hands_over_the_last_observation() -> None:
    env = HedgingVectorEnv(num_envs=4, hedgers=2, contract=SHORT)
    env.reset(seed=4)
    total = np.zeros(4)
    for number, action in enumerate(actions(2, 3, 4)):
        observation, reward, terminated, truncated, infos = env.step(action)
        total += reward
        assert terminated.tolist() == [number == 2] * 4
        assert truncated.tolist() == [False] * 4
        assert bool(infos) == (number == 2)
    root_time = env.world.observer.names.index("root_time")
    assert (observation[:, -LOSS_FEATURES] == 0).all()
    assert (observation[:, root_time] > 0).all()
    assert env.world.episode.option.bars_left.tolist() == [12, 12]
    assert infos["_final_obs"].tolist() == infos["_final_info"].tolist() == infos["final_info"]["_loss"].tolist()
    assert infos["_final_obs"].all()
    last, loss = np.stack(infos["final_obs"]), infos["final_info"]["loss"]
    assert last.shape == observation.shape
    assert (last[:, root_time] == 0).all()
    assert last[:, -LOSS_FEATURES] * env.world.scale == pytest.approx(loss, rel=1e-5)
    dual, phi = env.world.outlook.dual, MeanShortfall().transform
    expected = phi(torch.zeros(4), dual) - phi(torch.from_numpy(loss), dual)
    assert total * env.world.scale == pytest.approx(expected.numpy(), abs=1e-5)


def test_a_second_episode_follows_the_first() -> None:
    env = HedgingVectorEnv(num_envs=2, contract=SHORT)
    env.reset(seed=4)
    ends = [bool(env.step(action)[2].all()) for action in actions(3, 9, 2)]
    assert ends == [False, False, True] * 3


def test_settings_reach_the_world() -> None:
    objective = MeanShortfall(weight=0.25, level=0.9)
    env = gymnasium.make(ID, contract=SHORT, objective=objective)
    assert env.unwrapped.batch.world.contract is SHORT
    assert env.unwrapped.batch.world.objective is objective


def test_the_docstring_has_gymnasiums_heads() -> None:
    text = HedgingVectorEnv.__doc__ or ""
    found = [line.strip().removeprefix("## ") for line in text.splitlines() if line.strip().startswith("## ")]
    assert found == list(HEADS)
    assert "HedgingVectorEnv" in (HedgingEnv.__doc__ or "")


def test_environments_that_do_not_fill_their_groups_are_refused() -> None:
    with pytest.raises(BadInput):
        HedgingVectorEnv(num_envs=3, hedgers=2)


def test_an_empty_vector_is_refused() -> None:
    with pytest.raises(BadInput, match="num_envs=0"):
        HedgingVectorEnv(num_envs=0)
