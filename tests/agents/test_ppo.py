"""PPO on tensors: its arithmetic against plain loops and against SB3's own, and that it learns a known optimum."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor
from torch import Tensor

from agents.policy import BandActorCritic
from agents.ppo import TensorPPO, TensorRolloutBuffer, clipped_surrogate, standardised
from agents.vec_env import NumpyVecEnv, Step, TensorVecEnv
from envs.types import BadInput

RATIO, RESIDUAL = 0.6, 0.3  # liability y = RATIO · s · x + RESIDUAL · e, with x, e standard normal
LENGTH = 4


class OnePeriodHedge:
    """A liability y hedged by a · x, without cost: the reward is −(y − a·x)², the optimum the minimum-variance ratio
    a* = cov(y, x) / var(x) = RATIO · s in the state s ∈ {−1, 0, 1} that the agent sees.

    Members of a group share s, x and e. An episode is LENGTH independent periods; its loss is the sum of squares. The
    last observation column, the loss so far, is for the critic only.
    """

    actor_features = 2
    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, paths: int, group_size: int = 1, seed: int = 0, device: str = "cpu") -> None:
        self.num_envs, self.group_size, self.device = paths * group_size, group_size, torch.device(device)
        self._paths, self._random = paths, torch.Generator(device).manual_seed(seed)

    def reset(self) -> Tensor:
        self._age, self._loss = 0, torch.zeros(self.num_envs, device=self.device)
        return self._observe()

    def step(self, action: Tensor) -> Step:
        assert action.abs().max() <= 1.0
        x, e = (self._shared(torch.randn(self._paths, generator=self._random, device=self.device)) for _ in range(2))
        error = RATIO * self._state * x + RESIDUAL * e - action[:, 0] * x
        self._loss = self._loss + error.square()
        self._age += 1
        loss, last = self._loss, self._age == LENGTH
        observation = self.reset() if last else self._observe()
        return Step(observation, -error.square(), torch.full_like(loss, last, dtype=torch.bool), loss)

    def _shared(self, per_path: Tensor) -> Tensor:
        return per_path.repeat_interleave(self.group_size)

    def _observe(self) -> Tensor:
        draw = torch.randint(-1, 2, (self._paths,), generator=self._random, device=self.device)
        self._state = self._shared(draw.float())
        return torch.stack([self._state, torch.ones_like(self._state), self._loss], 1)


def model(env: Any = None, cls: type[PPO] = TensorPPO, **settings: Any) -> Any:
    env = TensorVecEnv(OnePeriodHedge(8, 4)) if env is None else env
    kwargs = {"actor_features": 2, "hidden": (16, 16)}
    return cls(
        BandActorCritic,
        env,
        **(
            {"n_steps": 8, "batch_size": 128, "n_epochs": 2, "seed": 3, "device": "cpu", "policy_kwargs": kwargs}
            | settings
        ),
    )


def weights(of: PPO) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in of.policy.parameters()]


class Recorder(BaseCallback):
    """Keeps what SB3 shows to callbacks, and stops after `limit` steps. Rollouts after the first have a known seed."""

    def __init__(self, limit: int = 10**9) -> None:
        super().__init__()
        self.limit, self.steps, self.rollouts = limit, 0, []  # type: ignore[var-annotated]

    def _on_step(self) -> bool:
        assert {"rewards", "dones", "infos", "new_obs", "actions", "values"} <= self.locals.keys()
        self.steps += 1
        return self.steps < self.limit

    def _on_rollout_start(self) -> None:
        if self.rollouts:
            torch.manual_seed(len(self.rollouts))

    def _on_rollout_end(self) -> None:
        buffer = self.locals["rollout_buffer"]
        names = ("observations", "actions", "rewards", "values", "log_probs", "advantages", "returns", "episode_starts")
        self.rollouts.append({name: torch.as_tensor(getattr(buffer, name)).clone().numpy() for name in names})


# --- the buffer -------------------------------------------------------------------------------------------------------


def rollout(steps: int, envs: int) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(1)
    draw = {name: torch.randn(steps, envs, generator=random) for name in ("reward", "value", "log_prob")}
    draw["obs"] = torch.randn(steps, envs, 3, generator=random)
    draw["action"] = torch.randn(steps, envs, 2, generator=random)
    draw["episode_start"] = torch.rand(steps, envs, generator=random) < 0.2
    return draw


def filled(kind: type[RolloutBuffer], data: dict[str, Any], group_size: int, last: Any, dones: Any) -> Any:
    steps, envs = data["reward"].shape
    observed, acted = spaces.Box(-9, 9, (3,), np.float32), spaces.Box(-1, 1, (2,), np.float32)
    buffer = kind(steps, observed, acted, "cpu", gae_lambda=0.9, gamma=0.97, n_envs=envs)
    if isinstance(buffer, TensorRolloutBuffer):
        buffer.group_size = group_size
    for row in range(steps):
        buffer.add(**{name: table[row] for name, table in data.items()})
    buffer.compute_returns_and_advantage(last, dones)
    return buffer


def gae_by_hand(data: dict[str, Tensor], last: Tensor, dones: Tensor) -> np.ndarray:
    """GAE as its definition: the sum of (discount · λ)^k δ_{t+k} up to the episode's end."""
    steps, envs = data["reward"].shape
    advantages = np.zeros((steps, envs))
    for env in range(envs):
        for start in range(steps):
            weight = 1.0
            for row in range(start, steps):
                ended = bool(dones[env] if row == steps - 1 else data["episode_start"][row + 1, env])
                following = 0.0 if ended else float(last[env] if row == steps - 1 else data["value"][row + 1, env])
                delta = float(data["reward"][row, env]) + 0.97 * following - float(data["value"][row, env])
                advantages[start, env] += weight * delta
                weight *= 0.97 * 0.9
                if ended:
                    break
    return advantages


@pytest.mark.parametrize("group_size", [1, 2, 3, 6])
def test_gae_and_the_group_baseline_against_plain_loops(group_size: int) -> None:
    data, last, dones = (
        rollout(7, 6),
        torch.randn(6, generator=torch.Generator().manual_seed(2)),
        torch.arange(6) % 2 == 0,
    )
    buffer = filled(TensorRolloutBuffer, data, group_size, last, dones)
    plain = gae_by_hand(data, last, dones)
    expected = plain.copy()
    for row in range(7):
        for first in range(0, 6, group_size):
            members = slice(first, first + group_size)
            if group_size > 1:
                expected[row, members] -= plain[row, members].sum() / group_size
    np.testing.assert_allclose(buffer.advantages.numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(buffer.returns.numpy(), plain + data["value"].numpy(), atol=1e-5)


def test_ungrouped_buffer_equals_sb3s_own() -> None:
    data, last, dones = rollout(7, 6), torch.randn(6), torch.arange(6) % 3 == 0
    ours = filled(TensorRolloutBuffer, data, 1, last, dones)
    arrays = {name: table if name in ("value", "log_prob") else table.numpy() for name, table in data.items()}
    theirs = filled(RolloutBuffer, arrays, 1, last, dones.numpy())
    for name in ("observations", "actions", "rewards", "values", "log_probs"):
        assert np.array_equal(getattr(ours, name).numpy(), getattr(theirs, name))
    for name in ("advantages", "returns"):
        np.testing.assert_allclose(getattr(ours, name).numpy(), getattr(theirs, name), atol=1e-5)


@pytest.mark.parametrize("batch_size", [5, 42, None])
def test_minibatches_hold_every_sample_once_and_whole(batch_size: int | None) -> None:
    data = rollout(7, 6)
    data["reward"] = torch.arange(42.0).view(7, 6)
    buffer = filled(TensorRolloutBuffer, data, 1, torch.zeros(6), torch.ones(6))
    buffer.returns = data["reward"].clone()
    batches = list(buffer.get(batch_size))
    assert [len(batch.returns) for batch in batches] == ([42] if batch_size in (42, None) else [5] * 8 + [2])
    order = torch.cat([batch.returns for batch in batches]).long()
    assert sorted(order.tolist()) == list(range(42))
    assert order.tolist() != list(range(42))
    for field, table in (
        ("observations", "obs"),
        ("actions", "action"),
        ("old_log_prob", "log_prob"),
        ("old_values", "value"),
    ):
        found = torch.cat([getattr(batch, field) for batch in batches])
        assert torch.equal(found, data[table].flatten(0, 1)[order])


def test_pieces_of_the_loss_against_plain_loops() -> None:
    log_ratio, advantages = torch.randn(50), torch.randn(50)
    terms = [
        min(np.exp(a) * b, np.clip(np.exp(a), 0.8, 1.2) * b)
        for a, b in zip(log_ratio.tolist(), advantages.tolist(), strict=True)
    ]
    assert clipped_surrogate(log_ratio, advantages, 0.2).item() == pytest.approx(np.mean(terms), rel=1e-5)
    scaled = (advantages.numpy() - advantages.numpy().mean()) / advantages.numpy().std(ddof=1)
    np.testing.assert_allclose(standardised(advantages).numpy(), scaled, rtol=1e-4, atol=1e-6)
    assert standardised(advantages[:1]) is not None
    assert torch.equal(standardised(advantages[:1]), advantages[:1])


# --- against SB3 itself -----------------------------------------------------------------------------------------------


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


# --- on tensors -------------------------------------------------------------------------------------------------------


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


# --- files ------------------------------------------------------------------------------------------------------------


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


# --- the environment's two faces --------------------------------------------------------------------------------------


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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_training_stays_on_the_gpu() -> None:
    learner = model(TensorVecEnv(OnePeriodHedge(64, 4, device="cuda")), device="cuda").learn(4096)
    assert learner.rollout_buffer.observations.is_cuda
    assert all(parameter.is_cuda for parameter in learner.policy.parameters())
