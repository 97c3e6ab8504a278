"""Seconds on two cores until PPO has Y ≤ 120 on the first row of the literature's tables (published RL: 136.9).

From the tuned Zakamouline band (Y ≈ 128), after a few pathwise gradients; the actor sees its loss so far. The clock
counts tuning, the gradients and learning, not the judging. Prints one JSON object as its last line: seconds, Y,
decisions.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace

import torch
from cao_row import Finish, race, tuned
from stable_baselines3.common.utils import set_random_seed

from envs.seeding import generators
from envs.task import Task
from train.family import Family
from train.learn import Settings, model_for, warmed

BAR, STEPS, SECONDS = 120.0, 12_000_000, 600.0
ALONE = Settings(
    steps=STEPS,
    paths=128,
    hedgers=8,
    rollout=20,
    minibatches=8,
    learning_rate=3e-3,
    log_std=-1.0,
    warm_up=0,
    sees_loss=True,
)
SETTINGS = ALONE.model_copy(update={"warm_up": 16, "warm_up_paths": 512, "warm_up_rate": 1e-2})


def finish(task: Task, bar: float, settings: Settings, seed: int) -> Finish:
    """How our race to `bar` ended, judged after each rollout."""
    market, warming = generators(seed, 2)
    set_random_seed(seed)
    learnt = task.world(settings.paths, settings.hedgers, market, controlled=True)
    began = time.perf_counter()
    model = model_for(Family([learnt]), settings)
    if settings.warm_up:
        warmed(model, task, settings, warming)
    warming = time.perf_counter() - began
    found = race(model, learnt, task, bar, settings.steps, SECONDS, every=1)
    return replace(found, seconds=warming + found.seconds)


def main() -> None:
    torch.set_num_threads(1)  # two wait for each other on batches as small as these
    began = time.perf_counter()
    task = tuned()
    tuning = time.perf_counter() - began
    found = finish(task, BAR, SETTINGS, seed=1)
    print(json.dumps({"seconds": round(found.seconds + tuning, 1), "y": round(found.y, 2), "steps": found.steps}))


if __name__ == "__main__":
    main()
