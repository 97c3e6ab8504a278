"""The first row of the literature's tables as a race: learning until Y is under a bar, the judging's time left out.

Cao, Chen, Hull and Poulos (2021): a short one-month call on geometric Brownian motion, hedged daily at 1 % of every
trade. Y is mean + 1.5 standard deviations of the loss, in % of the premium.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy

from agents.base import Agent
from agents.classical.zakamouline import Zakamouline
from envs.hedging import HedgingWorld
from envs.seeding import generators
from envs.task import Task
from train import cohort, tune
from train.duals import Late

TASK = Path(__file__).parents[1] / "configs" / "literature" / "cao_gbm_1m_daily.toml"
PREMIUM = 0.022565  # of the notional, in percent of which the paper counts
JUDGED, TUNED = 50_000, 8192  # paths
START = 100.0  # where the search for the band's risk aversion begins


@dataclass(frozen=True)
class Finish:
    """How a race ended."""

    seconds: float  # of learning
    y: float
    steps: int
    reached: bool


def tuned() -> Task:
    """The row, action 0 the Zakamouline band tuned on paths of its own."""
    task = Task.load(TASK)

    def score(agents: Sequence[Agent]) -> list[float]:
        (generator,) = generators(12345, 1)
        losses = cohort.run(task.cohort(TUNED, len(agents), generator, cohort.BLOCK), agents).loss.double()
        return [float(value) for value in task.objective.value(losses.T)]

    found = tune.best_parameters({Zakamouline.name: (Zakamouline, START)}, score)
    return tune.adopted(task, {name: parameter for name, (parameter, _) in found.items()})


def world(task: Task, paths: int, hedgers: int, seed: int) -> HedgingWorld:
    (generator,) = generators(seed, 1)
    return task.world(paths, hedgers, generator, controlled=True)


def race(model: PPO, learnt: HedgingWorld, task: Task, bar: float, steps: int, seconds: float, every: int) -> Finish:
    """Learn at most `steps` decisions or `seconds`; Y is judged after every `every` rollouts."""
    judge = Judge(learnt, task, bar, seconds, every)
    model.learn(steps, callback=judge)
    return Finish(judge.spent, judge.y, model.num_timesteps, judge.y <= bar)


class Judge(BaseCallback):
    """Moves the duals between rollouts, as `train.learn` does, and stops where Y is under the bar or time is up."""

    def __init__(self, learnt: HedgingWorld, task: Task, bar: float, seconds: float, every: int) -> None:
        super().__init__()
        self.learnt, self.task, self.bar, self.limit, self.every = learnt, task, bar, seconds, every
        self.late = Late(learnt)
        self.spent, self.y, self.rollouts = 0.0, float("inf"), 0

    def _on_training_start(self) -> None:
        self.since = time.perf_counter()

    def _on_step(self) -> bool:
        self.late.note()
        return self.y > self.bar and self.spent < self.limit

    def _on_rollout_start(self) -> None:
        """After an update: judged off the clock."""
        self.rollouts += 1
        if self.rollouts > 1 and (self.rollouts - 1) % self.every == 0:
            self.spent += time.perf_counter() - self.since
            self.y = judged(cast(ActorCriticPolicy, self.model.policy), self.learnt, self.task)
            self.since = time.perf_counter()

    def _on_rollout_end(self) -> None:
        self.late.settle()


@torch.no_grad()
def judged(policy: ActorCriticPolicy, learnt: HedgingWorld, task: Task) -> float:
    """Y of the policy without its noise, on paths of their own, always the same."""
    test = world(task, JUDGED, 1, 99)
    test.outlook = learnt.outlook
    observation = test.reset(staggered=False)
    for _ in range(task.contract.decisions):
        found = test.step(policy.get_distribution(observation).mode())
        observation = found.observation
    return 100 * float(test.objective.value(found.loss)) / PREMIUM
