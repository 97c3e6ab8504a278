"""One policy for a range of risk aversions and fees, against policies trained for one value each.

The recipe is `configs/family.toml`. At five settings of its dials it prints the measure of delta, of the Zakamouline
band tuned there, of the one policy for all and of a policy trained for that setting alone with the same effort, in
basis points of the notional on the same fresh paths, and the last two's difference with its bootstrap interval.
Prints one JSON object as its last line.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agents.base import Agent
from agents.classical.delta import Delta
from agents.classical.zakamouline import Zakamouline
from agents.learned import Learned
from agents.network import ActorNetwork
from envs.calibration import read_toml, validated
from envs.seeding import generators
from envs.task import Task
from train import cohort, statistics, tune
from train.learn import learn
from train.pipeline import Recipe

RECIPE = Path(__file__).parents[1] / "configs" / "family.toml"
SETTINGS = [(0.1, 1.0), (0.3, 1.0), (0.9, 1.0), (0.3, 0.25), (0.3, 4.0)]  # aversion, fees over the recipe's
JUDGED, TUNED, SEED = 65_536, 8192, 2026


def learnt(task: Task, recipe: Recipe, seed: int) -> tuple[ActorNetwork, float]:
    """A policy and the seconds that it took."""
    found = learn(task, recipe.learning, seed, torch.device("cpu"))
    return found.network, found.seconds


def losses(task: Task, agents: list[Agent]) -> Tensor:
    """(N, G) on paths that depend on nothing but the market."""
    (generator,) = generators(SEED, 1)
    return cohort.run(task.cohort(JUDGED, len(agents), generator, cohort.BLOCK), agents).loss.double()


def alone(task: Task) -> Task:
    """The task without dials: what a policy for this one setting sees."""
    return task.model_copy(update={"contract": task.contract.model_copy(update={"dials": {}})})


def row(recipe: Recipe, every: ActorNetwork, values: dict[str, float], seed: int) -> dict[str, Any]:
    """All four hedges at one setting."""
    task = recipe.task.at(**values)
    best = tune.opponents(task, 12345, TUNED).tuned[Zakamouline.name]
    own, _ = learnt(alone(task), recipe, seed)
    found = torch.cat(
        [losses(task, [Delta(), Zakamouline(best), Learned(every)]), losses(alone(task), [Learned(own)])], 1
    )
    measures = task.objective.value(found.T)
    replicates = statistics.Resampled(found[:, 2:], generators(SEED, 2)[1]).of(task.objective.value)
    gap = statistics.interval(measures[2] - measures[3], replicates[:, 0] - replicates[:, 1])
    names = ("delta", "band", "family", "single")
    shown = {name: round(1e4 * float(value), 2) for name, value in zip(names, measures, strict=True)}
    return values | shown | {"gap": {name: round(1e4 * value, 2) for name, value in vars(gap).items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    seed = parser.parse_args().seed
    torch.set_num_threads(1)
    recipe = validated(Recipe, read_toml(RECIPE), str(RECIPE))
    tuned = tune.opponents(recipe.task, 12345, TUNED).tuned
    recipe = recipe.model_copy(update={"task": tune.adopted(recipe.task, tuned)})
    every, seconds = learnt(recipe.task, recipe, seed)
    rows = []
    for aversion, cost in SETTINGS:
        rows.append(row(recipe, every, {"aversion": aversion, "cost": cost}, seed))
        print(json.dumps(rows[-1]), flush=True)
    print(json.dumps({"seconds": round(seconds, 1), "rows": rows}))


if __name__ == "__main__":
    main()
