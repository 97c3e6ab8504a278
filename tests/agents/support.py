"""A problem whose optimum is known, small models that learn it, and rollouts to fill buffers with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

from agents.policy import BandActorCritic
from agents.ppo import TensorPPO, TensorRolloutBuffer
from agents.vec_env import Step, TensorVecEnv

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
