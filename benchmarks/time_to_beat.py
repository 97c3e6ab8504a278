"""Seconds on two cores until PPO has Y ≤ 120 on the first row of the literature's tables (published RL: 136.9).

PPO alone, from the tuned Zakamouline band (Y ≈ 128), without a warm start; the actor sees its loss so far. The clock
counts tuning and learning, not the judging. Prints one JSON object as its last line: seconds, Y, decisions.
"""

from __future__ import annotations

import json
import time

import torch
from cao_row import Finish, race, tuned, world
from stable_baselines3.common.utils import set_random_seed

from train.family import Family
from train.learn import Settings, model_for

BAR, STEPS, SECONDS = 120.0, 12_000_000, 600.0
SETTINGS = Settings(
    steps=STEPS, paths=1024, hedgers=8, rollout=20, learning_rate=1e-3, log_std=-1.0, warm_up=0, sees_loss=True
)


def finish(bar: float, every: int = 2) -> tuple[Finish, float]:
    """How our race to `bar` ended, and the seconds of tuning before it."""
    began = time.perf_counter()
    task = tuned()
    tuning = time.perf_counter() - began
    set_random_seed(1)
    learnt = world(task, SETTINGS.paths, SETTINGS.hedgers, 1)
    return race(model_for(Family([learnt]), SETTINGS), learnt, task, bar, STEPS, SECONDS, every), tuning


def main() -> None:
    torch.set_num_threads(2)
    found, tuning = finish(BAR)
    print(json.dumps({"seconds": round(found.seconds + tuning, 1), "y": round(found.y, 2), "steps": found.steps}))


if __name__ == "__main__":
    main()
