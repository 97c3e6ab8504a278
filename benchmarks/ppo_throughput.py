"""Our PPO on tensors against stock Stable-Baselines3 on a numpy VecEnv: steps per second, and seconds to a result.

Steps per second, learning included: one thread, one world (a one-option hedge on geometric Brownian motion), one
network (64 × 64 SiLU), 4 epochs and minibatches of 16,384 throughout; 64 steps at 4,096 environments, 2,048 at 8.
`sb3_8_default` is the stock with its own defaults: 2,048 steps, minibatches of 64, 10 epochs.

Seconds of learning until Y ≤ 125 on the first row of the literature's tables, both from the tuned band on the same
environment with the same duals and rewards, each with the settings that did best of those tried. Ours begin with eight
pathwise gradients, which are in its time, then PPO (`seconds_alone`: PPO without them); the stock stops after `CAP`
seconds (`sb3_reached` says whether all runs got there). Medians of three seeds, judging left out. Prints one JSON
object as its last line.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from cao_row import Finish, race, tuned, world
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.utils import set_random_seed
from time_to_beat import ALONE, SETTINGS, finish
from torch import Tensor, nn

from agents.policy import BandActorCritic
from agents.ppo import TensorPPO
from agents.vec_env import NumpyVecEnv, Step, TensorVecEnv
from envs.task import Task

FEATURES, STEPS, VOLATILITY = 12, 21, 0.2
BAR, CAP = 125.0, 120.0
SEEDS = (1, 2, 3)
SOON = {"warm_up": 8, "warm_up_paths": 256, "warm_up_rate": 2e-2, "paths": 64, "epochs": 1, "minibatches": 4}
WARMED = SETTINGS.model_copy(update=SOON)  # `BAR` is nearer than that script's
ENVIRONMENTS = 1024  # of the stock's race
STOCK = {"n_steps": 20, "batch_size": 2560, "n_epochs": 4, "learning_rate": 3e-3}


class BrownianHedge:
    """One short at-the-money call hedged daily with spot at a cost of 1 %; action 0 is the Black–Scholes delta."""

    group_size = 1
    actor_features = FEATURES - 1
    device = torch.device("cpu")
    observation_space = spaces.Box(-np.inf, np.inf, (FEATURES,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self._random = torch.Generator().manual_seed(0)

    def reset(self) -> Tensor:
        """Start all episodes at spot 1."""
        self._age = 0
        self._log_spot, self._held, self._loss = (torch.zeros(self.num_envs) for _ in range(3))
        return self._observe()

    def step(self, action: Tensor) -> Step:
        """Trade to the delta plus an offset, then move the spot by a day."""
        target = self._delta() + 0.2 * action[:, 0]
        cost = 0.01 * (target - self._held).abs() * self._log_spot.exp()
        shock = torch.randn(self.num_envs, generator=self._random) * (VOLATILITY * math.sqrt(1 / 252))
        gain = target * self._log_spot.exp() * shock.expm1()
        self._held, self._log_spot = target, self._log_spot + shock
        self._loss = self._loss + cost - gain
        return self._finish(cost - gain)

    def _finish(self, loss: Tensor) -> Step:
        """Settle and restart all episodes on their last day."""
        self._age += 1
        last = self._age == STEPS
        payoff = (self._log_spot.exp() - 1.0).clamp(min=0.0) if last else torch.zeros(self.num_envs)
        total = self._loss + payoff
        observation = self.reset() if last else self._observe()
        return Step(observation, -(loss + payoff), torch.full((self.num_envs,), last), total)

    def _deviation(self) -> float:
        return VOLATILITY * math.sqrt((STEPS - self._age) / 252)

    def _delta(self) -> Tensor:
        delta: Tensor = torch.special.ndtr(self._log_spot / self._deviation() + 0.5 * self._deviation())
        return delta

    def _observe(self) -> Tensor:
        columns = torch.zeros(self.num_envs, FEATURES)
        columns[:, 0] = self._log_spot / self._deviation()
        columns[:, 1], columns[:, 2], columns[:, -1] = self._held, self._age / STEPS, self._loss
        return columns


def ours(num_envs: int, **settings: Any) -> PPO:
    """Return our PPO with the band policy on tensors."""
    kwargs = {"actor_features": FEATURES - 1}
    env = TensorVecEnv(BrownianHedge(num_envs))
    return TensorPPO(BandActorCritic, env, gamma=1.0, seed=0, device="cpu", policy_kwargs=kwargs, **settings)


def stock(num_envs: int, **settings: Any) -> PPO:
    """Return SB3's PPO with its own policy on arrays."""
    kwargs = {"activation_fn": nn.SiLU, "log_std_init": -1.0}
    env = NumpyVecEnv(TensorVecEnv(BrownianHedge(num_envs)))
    return PPO("MlpPolicy", env, gamma=1.0, seed=0, device="cpu", policy_kwargs=kwargs, **settings)


def stock_finish(task: Task, seed: int) -> Finish:
    """How the stock's race to `BAR` ended."""
    set_random_seed(seed)
    learnt = world(task, ENVIRONMENTS, 1, seed)
    env = NumpyVecEnv(TensorVecEnv(learnt))
    kwargs = {"activation_fn": nn.SiLU, "log_std_init": -1.0}
    model = PPO("MlpPolicy", env, gamma=1.0, device="cpu", policy_kwargs=kwargs, **STOCK)  # type: ignore[arg-type]
    return race(model, learnt, task, BAR, 10**9, CAP, 1)


def rate(model: PPO, updates: int) -> float:
    """Return steps per second over some updates, the first left out."""
    rollout = model.n_steps * model.n_envs
    model.learn(rollout)
    start = time.perf_counter()
    model.learn(updates * rollout, reset_num_timesteps=False)
    return updates * rollout / (time.perf_counter() - start)


def rates() -> dict[str, float]:
    """Steps per second of each in turn, medians of three times, and ours over the others."""
    shared = {"batch_size": 16384, "n_epochs": 4}
    makers: dict[str, Callable[[], PPO]] = {
        "ours": lambda: ours(4096, n_steps=64, **shared),
        "sb3_8": lambda: stock(8, n_steps=2048, **shared),
        "sb3_8_default": lambda: stock(8),
        "sb3_4096": lambda: stock(4096, n_steps=64, **shared),
    }
    runs = [{name: rate(make(), 1 if "_8" in name else 3) for name, make in makers.items()} for _ in range(3)]
    medians = {name: round(median([run[name] for run in runs])) for name in makers}
    return medians | {
        name.replace("sb3", "ratio"): round(medians["ours"] / medians[name], 2) for name in list(makers)[1:]
    }


def races(task: Task) -> dict[str, Any]:
    """Seconds to `BAR`, medians of the seeds."""
    settings = {"ours": WARMED, "alone": ALONE}
    runs = {name: [finish(task, BAR, own, seed) for seed in SEEDS] for name, own in settings.items()}
    runs["sb3"] = [stock_finish(task, seed) for seed in SEEDS]
    seconds = {f"seconds_{name}": round(median([each.seconds for each in own]), 2) for name, own in runs.items()}
    ratio = round(seconds["seconds_sb3"] / seconds["seconds_ours"], 2)
    return seconds | {"ratio_seconds": ratio, "sb3_reached": all(each.reached for each in runs["sb3"])}


def main() -> None:
    torch.set_num_threads(1)
    print(json.dumps(rates() | races(tuned())))


if __name__ == "__main__":
    main()
