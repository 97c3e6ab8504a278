"""PPO on tensors: repeatable, off the host, learning a known optimum, saved and loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from torch import Tensor

from agents.ppo import TensorPPO
from agents.vec_env import NumpyVecEnv, Step, TensorVecEnv
from envs.types import BadInput
from tests.agents.support import LENGTH, RATIO, RESIDUAL, OnePeriodHedge, Recorder, model, weights


def test_two_runs_under_one_seed_are_equal_to_the_bit() -> None:
    first, again, other = (model(seed=seed).learn(512) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(weights(first), weights(again), strict=True))
    assert not torch.equal(weights(first)[0], weights(other)[0])


def test_arrays_and_tensors_give_the_same_training() -> None:
    tensors = TensorVecEnv(OnePeriodHedge(8, 4))
    arrays = NumpyVecEnv(TensorVecEnv(OnePeriodHedge(8, 4)))
    here, there = model(tensors).learn(512), model(arrays).learn(512)
    assert all(torch.equal(a, b) for a, b in zip(weights(here), weights(there), strict=True))


def reads(n_steps: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often two rollouts and updates read a tensor on the host."""
    learner = model(n_steps=n_steps, batch_size=16 * n_steps)
    seen: list[list[int]] = []
    with monkeypatch.context() as patch:
        for name in ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__array__"):
            patch.setattr(torch.Tensor, name, counting(getattr(torch.Tensor, name), calls := []))
            seen.append(calls)
        learner.learn(2 * 32 * n_steps)
    return sum(map(len, seen))


def counting(method: Any, calls: list[int]) -> Any:
    def counted(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return method(self, *args, **kwargs)

    return counted


def test_the_host_reads_once_per_rollout_and_update_not_per_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnePeriodHedge, "step", unchecked_step)
    assert reads(8, monkeypatch) == reads(32, monkeypatch) <= 2 * 2


def unchecked_step(self: OnePeriodHedge, action: Tensor) -> Step:
    """A step without the world's own assertion, which would read the action."""
    loss = action[:, 0].square()
    return Step(self._observe(), -loss, torch.ones_like(loss, dtype=torch.bool), loss)


def learned_ratios(learner: TensorPPO) -> np.ndarray:
    states = np.array([[state, 1.0, 0.0] for state in (-1.0, 0.0, 1.0)], np.float32)
    return np.asarray(learner.predict(states, deterministic=True)[0][:, 0])


@pytest.mark.parametrize(("paths", "group_size"), [(1024, 1), (128, 8)])
def test_ppo_finds_the_minimum_variance_ratio(paths: int, group_size: int) -> None:
    """Within 4 standard errors of the ratio that least squares would estimate from 1,000 periods in that state.

    The estimate's standard error is RESIDUAL / √1000 ≈ 0.0095 (residual deviation over that of x, which is 1).
    """
    learner = model(
        TensorVecEnv(OnePeriodHedge(paths, group_size)),
        n_steps=8,
        batch_size=2048,
        n_epochs=4,
        gamma=0.0,
        learning_rate=lambda left: 3e-3 * left + 1e-5,
    )
    assert np.abs(learned_ratios(learner)).max() == 0.0
    learner.learn(40 * 8 * paths * group_size)
    error = learned_ratios(learner) - RATIO * np.array([-1.0, 0.0, 1.0])
    assert np.abs(error).max() < 4.0 * RESIDUAL / 1000**0.5


def test_target_kl_ends_an_update_after_the_epoch_that_went_too_far() -> None:
    assert model(target_kl=1e-12, n_epochs=5).learn(256)._n_updates == 1
    assert model(target_kl=1e12, n_epochs=5).learn(256)._n_updates == 5
    assert model(n_epochs=5).learn(256)._n_updates == 5


def test_callbacks_count_and_stop() -> None:
    recorder = Recorder()
    learner = model().learn(512, recorder)
    assert (recorder.steps, len(recorder.rollouts), learner.num_timesteps) == (16, 2, 512)
    stopped = model()
    before = weights(stopped)
    stopped.learn(512, Recorder(limit=5))
    assert stopped.num_timesteps == 5 * 32
    assert all(torch.equal(a, b) for a, b in zip(before, weights(stopped), strict=True))


def test_finished_episodes_are_logged() -> None:
    recorder = Recorder()
    learner = model().learn(256, recorder, log_interval=99)  # nothing is dumped, so that the last values stay
    mean_return = recorder.rollouts[0]["rewards"].sum() / 64  # 8 steps hold two whole episodes of 32 environments
    assert learner.logger.name_to_value["rollout/ep_loss_mean"] == pytest.approx(-mean_return, rel=1e-5)
    assert learner.ep_info_buffer[0]["r"] == pytest.approx(mean_return, rel=1e-5)
    assert learner.ep_info_buffer[0]["l"] == LENGTH


def test_a_group_size_that_does_not_divide_is_refused() -> None:
    env = TensorVecEnv(OnePeriodHedge(8, 4))
    env.group_size = 5
    with pytest.raises(BadInput, match="group_size 5 does not divide num_envs 32"):
        model(env).learn(256)


@pytest.mark.parametrize("cls", [TensorPPO, PPO])
def test_a_saved_model_loads_and_goes_on(cls: type[PPO], tmp_path: Path) -> None:
    learner = model().learn(512)
    learner.save(tmp_path / "model.zip")
    loaded = cls.load(tmp_path / "model.zip", device="cpu")
    obs = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    assert np.array_equal(loaded.predict(obs, deterministic=True)[0], learner.predict(obs, deterministic=True)[0])
    assert loaded.num_timesteps == 512
    world = TensorVecEnv(OnePeriodHedge(8, 4))
    loaded.set_env(world if cls is TensorPPO else NumpyVecEnv(world))
    loaded.learn(512, reset_num_timesteps=False)
    assert loaded.num_timesteps == 1024
    assert not torch.equal(weights(loaded)[0], weights(learner)[0])


def test_optimizer_state_survives_a_file(tmp_path: Path) -> None:
    learner = model().learn(512)
    learner.save(tmp_path / "model.zip")
    loaded = TensorPPO.load(tmp_path / "model.zip", env=TensorVecEnv(OnePeriodHedge(8, 4)), device="cpu")
    state, kept = (m.policy.optimizer.state_dict()["state"] for m in (loaded, learner))
    assert all(torch.equal(state[key]["exp_avg_sq"], kept[key]["exp_avg_sq"]) for key in kept)
    assert len(kept) == len(weights(learner))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_training_stays_on_the_gpu() -> None:
    learner = model(TensorVecEnv(OnePeriodHedge(64, 4, device="cuda")), device="cuda").learn(4096)
    assert learner.rollout_buffer.observations.is_cuda
    assert all(parameter.is_cuda for parameter in learner.policy.parameters())
