"""Decisions per second of the hedging environments, against a scalar hedging environment in plain Python.

`Rehedge/ShortCall-v0` in full: regime-switching GARCH with cascades, greeks, costs, funding, margin, restarts; 16,384
markets on one thread, random actions. `eager` and `compiled` are decisions (4 hourly bars each) per second; `yardstick`
is a short call on geometric Brownian motion, one bar a step, timed between them; `ratio` the better over the yardstick.
The other environments stand under `environments`, eager. With CUDA, 10⁶ markets there too.
Prints one JSON object as its last line; medians.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from envs.compiled import CompiledWorld
from envs.hedging import HedgingWorld
from envs.task import FOLDER, Task

MARKETS, CUDA_MARKETS, REPETITIONS, SCALAR_STEPS = 16384, 1_000_000, 9, 100_000
VOLATILITY, FEE, YEARS = 0.7, 5e-4, 4 / 8760


class ScalarHedge:
    """A short 30-day at-the-money call on geometric Brownian motion: delta hedge plus an offset, at a cost."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> tuple[float, float, float]:
        self.spot, self.left, self.units = 1.0, 180, 0.0
        return self.observation()

    def observation(self) -> tuple[float, float, float]:
        return math.log(self.spot), self.left * YEARS, self.units

    def delta(self) -> float:
        deviation = VOLATILITY * math.sqrt(self.left * YEARS)
        return 0.5 * (1 + math.erf((math.log(self.spot) / deviation + 0.5 * deviation) / math.sqrt(2)))

    def step(self, action: float) -> tuple[tuple[float, float, float], float, bool]:
        target, before = self.delta() + action, self.spot
        cost = FEE * abs(target - self.units) * before
        shock = VOLATILITY * math.sqrt(YEARS) * random.gauss(0.0, 1.0)
        self.spot = before * math.exp(shock - 0.5 * VOLATILITY**2 * YEARS)
        self.units, self.left = target, self.left - 1
        reward = target * (self.spot - before) - cost
        if self.left > 0:
            return self.observation(), reward, False
        reward -= max(self.spot - 1.0, 0.0)
        return self.reset(), reward, True


def world(task: str, markets: int, device: str = "cpu") -> HedgingWorld:
    made = Task.load(task).world(markets, 1, torch.Generator(device).manual_seed(0))
    made.reset()
    return made


def seconds(step: Callable[[], object], wait: Callable[[], object] = lambda: None) -> float:
    """Of one step, over several."""
    start = time.perf_counter()
    for _ in range(8):
        step()
    wait()
    return (time.perf_counter() - start) / 8


def scalar_seconds(env: ScalarHedge) -> float:
    start = time.perf_counter()
    for _ in range(SCALAR_STEPS):
        env.step(0.01)
    return (time.perf_counter() - start) / SCALAR_STEPS


def stepper(made: HedgingWorld) -> Callable[[], object]:
    """A step with actions drawn beforehand; the first, which may compile, is taken."""
    action = 2 * torch.rand(made.num_envs, *made.action_space.shape, device=made.device) - 1

    def step() -> object:
        with torch.no_grad():
            return made.step(action)

    step()
    step()
    return step


def bytes_per_market(task: str) -> float:
    """Of all that is kept between steps: the growth from one batch to twice it."""
    sizes = [_stored(world(task, count)) for count in (4096, 8192)]
    return (sizes[1] - sizes[0]) / 4096


def _stored(made: HedgingWorld) -> int:
    """Bytes of the distinct storages that a world's state, episode and observation hold."""
    found: dict[int, int] = {}

    def visit(part: Any) -> None:
        if isinstance(part, torch.Tensor):
            found[part.untyped_storage().data_ptr()] = part.untyped_storage().nbytes()
        elif isinstance(part, tuple | list | dict):
            for each in part.values() if isinstance(part, dict) else part:
                visit(each)
        elif type(part).__module__.startswith("envs.") and hasattr(part, "__dict__"):
            visit(vars(part))

    visit((made.state, made.episode, made.observation))
    return sum(found.values())


def on_cuda() -> dict[str, float]:
    """Decisions per second at 10⁶ markets, compiled."""
    step = stepper(CompiledWorld.of(world("short_call", CUDA_MARKETS, "cuda")))
    taken = median(seconds(step, torch.cuda.synchronize) for _ in range(REPETITIONS))
    return {"markets": CUDA_MARKETS, "steps_per_second": round(CUDA_MARKETS / taken)}


def main() -> None:
    torch.set_num_threads(1)
    random.seed(0)
    steps = {
        "eager": stepper(world("short_call", MARKETS)),
        "compiled": stepper(CompiledWorld.of(world("short_call", MARKETS))),
    }
    scalar = ScalarHedge()
    times: dict[str, list[float]] = {name: [] for name in (*steps, "yardstick")}
    for _ in range(REPETITIONS):
        for name, step in steps.items():
            times[name].append(seconds(step) / MARKETS)
            times["yardstick"].append(scalar_seconds(scalar))
    rates: dict[str, Any] = {name: round(1 / median(each)) for name, each in times.items()}
    best = max(rates["eager"], rates["compiled"])
    rates |= {"ratio": round(best / rates["yardstick"], 2), "bytes_per_market": round(bytes_per_market("short_call"))}
    rates["bars_per_second"] = best * Task.load("short_call").contract.decision_bars
    others = {file.stem: stepper(world(file.stem, MARKETS)) for file in sorted(FOLDER.glob("*.toml"))}
    rates["environments"] = {
        name: round(MARKETS / median(seconds(step) for _ in range(3))) for name, step in others.items()
    }
    if torch.cuda.is_available():
        rates["cuda"] = on_cuda()
    print(json.dumps(rates))


if __name__ == "__main__":
    main()
