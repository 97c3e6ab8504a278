"""Batched tensor worlds behind Stable-Baselines3's `VecEnv`, and the way back to numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from gymnasium import Wrapper, spaces
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices
from torch import Tensor

from envs.hedging import Step as Step
from envs.types import BadInput

Infos = list[dict[str, Any]]


class World(Protocol):
    """B environments stepped together, in adjacent groups of `group_size` that share one market path in lock-step.

    Environment index = path · group_size + member. Episodes end by termination only.
    """

    num_envs: int
    group_size: int
    actor_features: int  # the actor sees these first columns, the critic sees all
    observation_space: spaces.Box[Any]
    action_space: spaces.Box[Any]  # [-1, 1]^A
    device: torch.device

    def reset(self) -> Tensor:
        """Start every environment afresh; return its observation (B, F)."""

    def step(self, action: Tensor) -> Step:
        """Advance every environment by one decision (B, A)."""


class TensorVecEnv(VecEnv):
    """A `World` as a `VecEnv` that takes and returns tensors; the world draws from the generator it was made with."""

    def __init__(self, world: World) -> None:
        if np.any(world.action_space.low != -1.0) or np.any(world.action_space.high != 1.0):
            raise BadInput(f"action space is {world.action_space}: a world takes actions in [-1, 1]")
        self.world = world
        super().__init__(world.num_envs, world.observation_space, world.action_space)
        self.group_size = world.group_size
        self.actor_features = world.actor_features
        self._infos: Infos = [{}] * world.num_envs
        self._clear()

    def reset(self) -> Tensor:  # type: ignore[override]
        """Start every environment afresh; return its observation (B, F)."""
        self._clear()
        return self.world.reset()

    def step_async(self, actions: Tensor) -> None:  # type: ignore[override]
        """Keep the actions (B, A), clipped to [-1, 1], for `step_wait`."""
        self._actions = actions.clamp(-1.0, 1.0)

    def step_wait(self) -> tuple[Tensor, Tensor, Tensor, Infos]:  # type: ignore[override]
        """Return observation (B, F), reward (B,), done (B,) and one list of empty infos, the same at every step."""
        step = self.world.step(self._actions)
        self._account(step)
        return step.observation, step.reward, step.terminated, self._infos

    def episode_summary(self) -> dict[str, float] | None:
        """Return means over the episodes finished since the last call (r: return, l: length, loss), None without one.

        The only place that reads the device.
        """
        count, *sums = self._finished.tolist()
        self._finished.zero_()
        return {name: total / count for name, total in zip(("r", "l", "loss"), sums, strict=True)} if count else None

    def _clear(self) -> None:
        self._running = torch.zeros(2, self.num_envs, device=self.world.device)  # return and length so far
        self._finished = torch.zeros(4, dtype=torch.float64, device=self.world.device)  # count, Σr, Σl, Σloss

    def _account(self, step: Step) -> None:
        """Add the step to the running returns and lengths, and what finished to the sums."""
        self._running += torch.stack([step.reward, torch.ones_like(step.reward)])
        row = torch.stack([torch.ones_like(step.reward), *self._running, step.loss])
        self._finished += torch.where(step.terminated, row, 0.0).sum(1)
        self._running.masked_fill_(step.terminated, 0.0)

    def close(self) -> None:
        """Do nothing: a world holds no process and no file."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return the world's one value, once per index."""
        value = getattr(self.world, attr_name, None) if attr_name == "render_mode" else getattr(self.world, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the world, which all environments share: a part of them raises `ValueError`."""
        if len(set(self._get_indices(indices))) != self.num_envs:
            raise ValueError(f"{attr_name} belongs to all {self.num_envs} environments: set it with indices=None")
        setattr(self.world, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call the world's method once; return its one result, once per index."""
        result = getattr(self.world, method_name)(*method_args, **method_kwargs)
        return [result for _ in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Return False, once per index: a world has no Gymnasium wrappers."""
        return [False for _ in self._get_indices(indices)]

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Return None per environment: the world's generator was seeded by whoever made it."""
        return [None] * self.num_envs


class NumpyVecEnv(VecEnvWrapper):
    """A `TensorVecEnv` in numpy, for what wants arrays: `evaluate_policy`, `EvalCallback`, `VecMonitor`, SB3's PPO."""

    def reset(self) -> np.ndarray:
        """Start every environment afresh; return its observation (B, F) on the host."""
        return _host(self.venv.reset())

    def step_async(self, actions: np.ndarray) -> None:
        """Hand the actions (B, A) to the world's device."""
        device = self.get_attr("device", indices=0)[0]
        self.venv.step_async(torch.as_tensor(actions, device=device))  # type: ignore[arg-type]

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, Infos]:
        """Return observation (B, F), reward (B,), done (B,) as arrays, and the infos."""
        observation, reward, done, infos = self.venv.step_wait()
        return _host(observation), _host(reward), _host(done), infos


def _host(tensor: Any) -> np.ndarray:
    array: np.ndarray = tensor.cpu().numpy()
    return array
