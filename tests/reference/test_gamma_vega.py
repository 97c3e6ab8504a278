"""The gamma and vega hedging paper's rows of hedges that learn nothing, by configuration alone.

Cao, Chen, Farghadani, Hull, Poulos, Wang and Yuan (2023), Frontiers in Artificial Intelligence 6, 1129370: table 1, its
authors' printed figures on 5,000 paths; the greek band's are a recomputation on the same paths.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from agents.base import Agent
from agents.classical.delta import Delta
from agents.classical.delta_gamma import DeltaGamma
from agents.classical.greek_band import GreekBand
from envs.objective import expected_shortfall
from envs.seeding import generators
from envs.task import Task
from train import cohort

LITERATURE = Path(__file__).parents[2] / "configs" / "literature"
PATHS, THEIRS = 4096, 5000
ERRORS = 3.0  # standard errors
WEIGHT, LEVEL = 1.645, 0.95


def judged(losses: Tensor) -> dict[str, tuple[float, float]]:
    """Mean, mean + 1.645·std and expected shortfall of `losses` (N,), each with its influence's standard deviation."""
    centred, spread = losses - losses.mean(), losses.std()
    quantile = torch.quantile(losses, LEVEL)
    influences = {
        "mean": centred,
        "mean_std": centred + WEIGHT * (centred.square() / spread - spread) / 2,
        "shortfall": (losses - quantile).clamp(min=0) / (1 - LEVEL),
    }
    values = {
        "mean": losses.mean(),
        "mean_std": losses.mean() + WEIGHT * spread,
        "shortfall": expected_shortfall(losses, LEVEL),
    }
    return {name: (float(values[name]), float(influence.std())) for name, influence in influences.items()}


@pytest.mark.parametrize(
    ("cost", "rows"),
    [
        (1, [(Delta(), 0.05, 24.61, 36.64), (DeltaGamma(), None, 9.93, 11.55), (GreekBand(1.87), None, 7.98, None)]),
        (2, [(Delta(), 0.05, 24.61, 36.64), (DeltaGamma(), None, 18.74, 21.10), (GreekBand(2.71), None, 12.06, 14.40)]),
    ],
)
def test_hedges_lose_what_the_paper_says(cost: int, rows: list[tuple[Agent, *tuple[float | None, ...]]]) -> None:
    (generator,) = generators(cost, 1)
    task = Task.load(LITERATURE / f"gamma_vega_gbm_{cost}pct.toml")
    losses = cohort.run(task.cohort(PATHS, len(rows), generator, PATHS), [agent for agent, *_ in rows]).loss.double()
    for own, (agent, *printed) in zip((task.contract.notional * losses).T, rows, strict=True):
        for (name, (found, deviation)), expected in zip(judged(own).items(), printed, strict=True):
            error = deviation * math.sqrt(1 / PATHS + 1 / THEIRS)
            assert expected is None or abs(found - expected) < ERRORS * error + 0.005, (agent.name, name)
