"""On numpy environments the tensor PPO is Stable-Baselines3's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tqdm import TqdmExperimentalWarning

from agents.ppo import TensorPPO
from envs.types import BadInput
from tests.agents.support import Recorder, model, weights


def pendulum() -> Any:
    return make_vec_env("Pendulum-v1", 3, seed=5, env_kwargs={"max_episode_steps": 13})


def on_pendulum(cls: type[PPO], rollouts: int, **settings: Any) -> tuple[PPO, Recorder]:
    defaults = {"n_steps": 40, "batch_size": 120, "n_epochs": 3, "gamma": 0.9, "seed": 7, "device": "cpu"}
    learner, recorder = cls("MlpPolicy", pendulum(), **(defaults | settings)), Recorder()
    learner.learn(120 * rollouts, recorder)
    return learner, recorder


@pytest.mark.parametrize(
    ("rollouts", "settings"),
    [
        (2, {}),
        (2, {"ent_coef": 5.0, "vf_coef": 0.3, "clip_range": 0.05, "max_grad_norm": 0.1}),
        (2, {"clip_range_vf": 0.1, "normalize_advantage": False, "learning_rate": lambda left: 1e-3 * left}),
        (1, {"use_sde": True}),
    ],
)
def test_rollout_and_update_on_numpy_environments_are_sb3s(rollouts: int, settings: dict[str, Any]) -> None:
    """Rollouts with truncated episodes, full-batch updates: the same numbers up to the order of summation."""
    (ours, seen), (theirs, expected) = (on_pendulum(cls, rollouts, **settings) for cls in (TensorPPO, PPO))
    assert seen.rollouts[0]["episode_starts"].sum() > 6  # time limits were met
    for found, wanted in zip(seen.rollouts, expected.rollouts, strict=True):
        for name in wanted:
            np.testing.assert_allclose(found[name], wanted[name], rtol=2e-3, atol=2e-3, err_msg=name)
    for name in ("returns", "rewards"):
        np.testing.assert_allclose(seen.rollouts[0][name], expected.rollouts[0][name], rtol=1e-5, atol=1e-5)
    for found, wanted in zip(weights(ours), weights(theirs), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=2e-4)
    episodes = [[info["r"] for info in learner.ep_info_buffer or ()] for learner in (ours, theirs)]
    assert len(episodes[0]) >= 9
    assert episodes[0] == pytest.approx(episodes[1], rel=1e-3)
    logged = [learner.logger.name_to_value for learner in (ours, theirs)]
    assert logged[0].keys() == logged[1].keys()
    for name in (name for name in logged[0] if name.startswith(("train/", "rollout/"))):
        assert logged[0][name] == pytest.approx(logged[1][name], rel=1e-2, abs=2e-3), name


class Strict(gymnasium.Env[Any, Any]):
    """Refuses actions outside bounds that exploration often oversteps."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Box(-0.1, 0.1, (1,), np.float32)

    def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        return np.zeros(1, np.float32), 0.0, False, False, {}


def test_actions_reach_gymnasium_environments_within_bounds() -> None:
    learner = TensorPPO("MlpPolicy", DummyVecEnv([Strict]), n_steps=32, batch_size=32, device="cpu").learn(32)
    assert learner.rollout_buffer.actions.abs().max() > 0.1  # the sample before clipping is what is learned from


def test_discrete_actions_train() -> None:
    learner = TensorPPO("MlpPolicy", make_vec_env("CartPole-v1", 2, seed=0), n_steps=32, batch_size=32, device="cpu")
    before = weights(learner)
    learner.learn(64)
    assert not torch.equal(before[0], weights(learner)[0])


def test_a_dict_of_observations_is_refused() -> None:
    class Nested(gymnasium.Env[Any, Any]):
        observation_space = spaces.Dict({"a": spaces.Box(-1, 1, (1,), np.float32)})
        action_space = spaces.Box(-1, 1, (1,), np.float32)

    with pytest.raises(BadInput, match="FlattenObservation"):
        TensorPPO("MultiInputPolicy", DummyVecEnv([Nested]), device="cpu")


def test_cart_pole_is_learned() -> None:
    """An environment that someone brings: a pole that chance keeps up for 22 steps stays up four times as long."""
    learner = TensorPPO(
        "MlpPolicy",
        make_vec_env("CartPole-v1", 8, seed=1),
        n_steps=32,
        batch_size=256,
        n_epochs=10,
        gae_lambda=0.8,
        gamma=0.98,
        learning_rate=lambda left: 1e-3 * left,
        seed=1,
        device="cpu",
    )
    judge = make_vec_env("CartPole-v1", 8, seed=2)
    before, _ = evaluate_policy(learner, judge, n_eval_episodes=16)
    learner.learn(16_384)
    after, _ = evaluate_policy(learner, judge, n_eval_episodes=16)
    assert before < 44 < 88 < after


def test_tensorboard_and_the_progress_bar_show_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learner = model(tensorboard_log=str(tmp_path))
    with pytest.warns(TqdmExperimentalWarning):
        learner.learn(512, progress_bar=True)
    log = EventAccumulator(str(tmp_path / "PPO_1")).Reload()
    assert {"train/loss", "train/approx_kl", "rollout/ep_loss_mean", "time/fps"} <= set(log.Tags()["scalars"])
    assert [event.step for event in log.Scalars("rollout/ep_loss_mean")] == [256, 512]
    assert "512/512" in capsys.readouterr().out
