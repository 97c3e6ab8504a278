"""On a CUDA device: environment and PPO steps per second, how busy the device is, and the time to Y ≤ 120.

`Rehedge/ShortCall-v0`: a million markets compiled, and PPO on 131,072 books. Without CUDA it says so and ends well.
Prints one JSON object as its last line.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from cao_row import race, tuned
from time_to_beat import ALONE, BAR, SECONDS, STEPS

from envs.compiled import CompiledWorld
from envs.hedging import HedgingWorld
from envs.seeding import generators
from envs.task import Task
from train.family import Family
from train.learn import Settings, model_for

MARKETS, PATHS, HEDGERS, REPETITIONS = 1_000_000, 16_384, 8, 20


def world(task: Task, paths: int, hedgers: int) -> HedgingWorld:
    (generator,) = generators(1, 1, torch.device("cuda"))
    return task.world(paths, hedgers, generator, controlled=True)


def environment_rate() -> float:
    """Decisions per second of compiled worlds."""
    markets = CompiledWorld.of(world(Task.load("short_call"), MARKETS, 1))
    markets.reset()
    action = torch.zeros(MARKETS, 2, device="cuda")
    return MARKETS * REPETITIONS / timed(lambda: markets.step(action), REPETITIONS)


def learning_rate() -> float:
    """Decisions per second of PPO, learning included."""
    settings = Settings(paths=PATHS, hedgers=HEDGERS)
    model = model_for(Family([world(Task.load("short_call"), PATHS, HEDGERS)]), settings)
    rollout = model.n_steps * model.n_envs
    return rollout * 3 / timed(lambda: model.learn(rollout, reset_num_timesteps=False), 3)


def timed(act: Callable[[], Any], repetitions: int) -> float:
    """Seconds of `repetitions`, one more before them left out."""
    act()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(repetitions):
        act()
    torch.cuda.synchronize()
    return time.perf_counter() - began


class Utilisation(threading.Thread):
    """The mean of what the driver says of the device, ten times a second until `stop`."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: list[int] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.1):
            self.seen.append(torch.cuda.utilization())

    def stop(self) -> float:
        self.over.set()
        self.join()
        return sum(self.seen) / max(1, len(self.seen))


def main() -> None:
    if not torch.cuda.is_available():
        print(json.dumps({"cuda": False, "skipped": "no CUDA device here"}))
        return
    watch = Utilisation()
    environment = environment_rate()
    watch.start()
    learning = learning_rate()
    busy = watch.stop()
    task = tuned()
    learnt = world(task, PATHS, HEDGERS)
    found = race(model_for(Family([learnt]), ALONE), learnt, task, BAR, 16 * STEPS, SECONDS, 2)
    rates = {"environment": round(environment), "ppo": round(learning), "utilisation_percent": round(busy, 1)}
    beat = {"seconds": round(found.seconds, 1), "y": round(found.y, 2), "steps": found.steps}
    print(json.dumps({"cuda": True, "device": torch.cuda.get_device_name()} | rates | {"time_to_beat": beat}))


if __name__ == "__main__":
    main()
