"""What other libraries expect of the environments, and what happens when they are used out of turn."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.env_checker import check_env

from envs.gym import HedgingEnv, HedgingVectorEnv
from envs.hedging import LOSS_FEATURES
from tests.envs.worlds import contract, task

SHORT = task(contract(bars=24))  # three decisions


def actions(seed: int, steps: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (steps, *shape, 2)).astype(np.float32)


def test_stable_baselines3_finds_no_fault() -> None:
    env = HedgingEnv(task=SHORT)
    check_env(env)
    assert env.action_space.shape == (2,)


def test_reset_starts_a_new_episode_at_any_time() -> None:
    env = HedgingEnv(task=SHORT)
    env.reset(seed=2)
    env.step(np.ones(2, dtype=np.float32))
    observation, _ = env.reset()
    assert env.batch.world.episode.bars_left.tolist() == [24]
    assert abs(observation[-LOSS_FEATURES]) < 1e-6  # the loss so far


def test_a_reset_without_a_seed_lets_the_market_go_on_and_with_one_starts_it_afresh() -> None:
    env = HedgingEnv(task=SHORT)
    env.reset(seed=2)
    first = env.batch.world
    env.reset()
    assert env.batch.world is first
    env.reset(seed=2)
    assert env.batch.world is not first


def test_a_second_episode_follows_the_first() -> None:
    env = HedgingVectorEnv(num_envs=2, task=SHORT)
    env.reset(seed=4)
    ends = [bool(env.step(action)[2].all()) for action in actions(3, 9, 2)]
    assert ends == [False, False, True] * 3


def test_what_a_step_returns_is_not_changed_by_the_next() -> None:
    env = HedgingVectorEnv(num_envs=2, task=SHORT)
    kept = [env.reset(seed=4)[0]]
    copies = [kept[0].copy()]
    for action in actions(3, 4, 2):
        observation, reward, *_ = env.step(action)
        kept += [observation, reward]
        copies += [observation.copy(), reward.copy()]
    assert all(np.array_equal(one, other) for one, other in zip(kept, copies, strict=True))


def test_gymnasiums_own_wrappers_take_the_vector() -> None:
    env = gymnasium.wrappers.vector.RecordEpisodeStatistics(HedgingVectorEnv(num_envs=2, task=SHORT))
    env.reset(seed=4)
    for action in actions(3, 3, 2):
        *_, infos = env.step(action)
    assert infos["episode"]["l"].tolist() == [3, 3]


@pytest.mark.parametrize("wrap", [lambda env: env, lambda env: env.batch])
def test_a_picture_before_the_first_reset_is_refused(wrap: object) -> None:
    """Nothing has begun that could be drawn."""
    env = wrap(HedgingEnv(task=SHORT, render_mode="rgb_array"))  # type: ignore[operator]
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.render()
