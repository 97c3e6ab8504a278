"""The two faces of a tensor world: tensors and numpy."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecMonitor

from agents.vec_env import NumpyVecEnv, TensorVecEnv
from envs.types import BadInput
from tests.agents.support import LENGTH, OnePeriodHedge, model


def test_tensor_vec_env_answers_sb3s_questions() -> None:
    env = TensorVecEnv(OnePeriodHedge(8, 4))
    assert env.get_attr("group_size", indices=[0, 3]) == [4, 4]
    assert env.get_attr("render_mode") == [None] * 32
    assert env.env_is_wrapped(gymnasium.Wrapper, indices=0) == [False]
    assert not env.has_attr("nothing")
    env.set_attr("mark", 7, indices=None)
    assert env.env_method("__getattribute__", "mark", indices=1) == [7]
    with pytest.raises(ValueError, match="all 32 environments"):
        env.set_attr("mark", 8, indices=[0])
    assert env.seed(1) == [None] * 32


def test_a_world_with_other_bounds_is_refused() -> None:
    world = OnePeriodHedge(2)
    world.action_space = spaces.Box(-2.0, 1.0, (1,), np.float32)
    with pytest.raises(BadInput, match=r"\[-1, 1\]"):
        TensorVecEnv(world)


def test_actions_reach_the_world_clipped() -> None:
    env = TensorVecEnv(OnePeriodHedge(2))
    env.reset()
    env.step(torch.tensor([[5.0], [-5.0]]))  # type: ignore[arg-type]  # the world asserts |action| ≤ 1


def test_episode_summary_counts_only_what_finished() -> None:
    env = TensorVecEnv(OnePeriodHedge(3))
    env.reset()
    assert env.episode_summary() is None
    total = torch.zeros(3)
    for _ in range(LENGTH + 2):
        assert env.episode_summary() is None
        _, reward, done, infos = env.step(torch.zeros(3, 1))  # type: ignore[arg-type]
        total += torch.as_tensor(reward) if not torch.as_tensor(done).any() else 0.0
        assert infos == [{}, {}, {}]
        if torch.as_tensor(done).any():
            summary = env.episode_summary()
            assert summary is not None
            assert summary["l"] == LENGTH
            assert summary["r"] == pytest.approx(-summary["loss"], rel=1e-5)
            assert summary["r"] == pytest.approx((total + torch.as_tensor(reward)).mean().item(), rel=1e-5)


def test_sb3s_evaluation_runs_on_the_numpy_face(tmp_path: Path) -> None:
    env = VecMonitor(NumpyVecEnv(TensorVecEnv(OnePeriodHedge(16))))
    callback = EvalCallback(env, n_eval_episodes=16, eval_freq=8, log_path=str(tmp_path), verbose=0)
    with pytest.warns(UserWarning, match="not of the same type"):  # SB3 remarks that training runs on the other face
        learner = model().learn(256, callback)
    returns, lengths = evaluate_policy(learner, env, n_eval_episodes=16, return_episode_rewards=True)
    assert lengths == [LENGTH] * 16
    assert np.isfinite(returns).all()
    assert callback.n_calls == 8
    assert np.isfinite(callback.last_mean_reward)
