"""A checkpoint of everything that learning goes on from, and the way back: to the same weights, bit by bit on a CPU."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from stable_baselines3.common.callbacks import BaseCallback

from agents.ppo import TensorPPO
from agents.vec_env import TensorVecEnv
from envs import saving
from envs.hedging import HedgingWorld
from train.run import Run


class Part(Protocol):
    """Of learning: what it remembers, as a tree of `train/checkpoint.py`."""

    def saved(self) -> Any: ...

    def restore(self, tree: Any) -> None: ...


class Keeping(BaseCallback):
    """A checkpoint before the first rollout, and before those that begin long enough after the last."""

    def __init__(self, run: Run, worlds: Sequence[HedgingWorld], parts: Sequence[Part]) -> None:
        super().__init__()
        self.run, self.worlds, self.parts = run, worlds, parts
        self.last = -float("inf")

    def restore(self, model: TensorPPO, tree: dict[str, Any]) -> None:
        """Everything as it was; the worlds are reset first, so that they have their build."""
        environment = _environment(model)
        environment.reset()
        for world, own in zip(self.worlds, tree["worlds"], strict=True):
            saving.restore(world, own)
        for part, own in zip(self.parts, tree["parts"], strict=True):
            part.restore(own)
        environment._running = tree["running"].to(model.device)
        policy = model.policy
        policy.load_state_dict(tree["policy"])
        groups = policy.optimizer.state_dict()["param_groups"]
        policy.optimizer.load_state_dict({"state": dict(enumerate(tree["optimizer"])), "param_groups": groups})
        vars(model).update(tree["counters"])
        model._last_obs, model._last_episode_starts = (each.to(model.device) for each in tree["seen"])
        torch.set_rng_state(tree["random"][0])
        for state in tree["random"][1:]:
            torch.cuda.set_rng_state(state, model.device)

    def _on_rollout_start(self) -> None:
        if time.perf_counter() - self.last >= self.run.every:
            assert isinstance(self.model, TensorPPO)
            self.run.checkpoints.save(self.num_timesteps, self._tree(self.model))
            self.last = time.perf_counter()

    def _on_step(self) -> bool:
        return True

    def _tree(self, model: TensorPPO) -> dict[str, Any]:
        optimizer = model.policy.optimizer.state_dict()["state"]
        return {
            "worlds": [saving.saved(world) for world in self.worlds],
            "parts": [part.saved() for part in self.parts],
            "running": _environment(model)._running,
            "policy": model.policy.state_dict(),
            "optimizer": [optimizer[place] for place in sorted(optimizer)],
            "counters": {"num_timesteps": model.num_timesteps, "_n_updates": model._n_updates},
            "seen": [torch.as_tensor(each) for each in (model._last_obs, model._last_episode_starts)],
            "random": _random(model.device),
        }


def _environment(model: TensorPPO) -> TensorVecEnv:
    assert isinstance(model.env, TensorVecEnv)
    return model.env


def _random(device: torch.device) -> list[torch.Tensor]:
    """States of PyTorch's own generators: the CPU's, then the device's if it is another."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]
