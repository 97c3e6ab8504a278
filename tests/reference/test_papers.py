"""The delta hedge's published rows, by configuration alone: the world's accounting is the papers'."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor

from agents.classical.delta import Delta
from envs.seeding import generators
from envs.task import Task
from train import cohort

LITERATURE = Path(__file__).parents[2] / "configs" / "literature"
PATHS, THEIRS = 40_000, 100_001
ERRORS = 4.0  # standard errors of both samples
HALF_DIGIT = 0.05


def delta_losses(name: str, days: int) -> tuple[Tensor, float]:
    """Final losses (PATHS,) of the delta hedge decided every so many days, and the premium, both over the notional."""
    task = Task.load(LITERATURE / f"{name}.toml")
    task = task.model_copy(update={"contract": task.contract.model_copy(update={"decision_bars": days})})
    world = task.world(1, 1, generators(2, 1)[0])
    world.reset(staggered=False)
    premium = float(world.episode.book.claims) / task.contract.notional
    losses = cohort.run(task.cohort(PATHS, 1, generators(2, 1)[0], cohort.BLOCK), [Delta()]).loss
    return losses[:, 0].double(), premium


@pytest.mark.parametrize(
    ("name", "days", "premium", "mean", "deviation"),
    [  # Cao et al. (2021), table of the practitioner delta's cost, mean and standard deviation in % of the premium
        ("cao_gbm_1m_daily", 1, 2.2565, 107.6, 37.7),
        ("cao_gbm_1m_daily", 2, 2.2565, 88.0, 39.2),
        ("cao_gbm_1m_daily", 5, 2.2565, 68.7, 49.5),
        ("cao_gbm_3m_daily", 1, 3.9073, 90.6, 29.2),
        ("cao_sabr_1m_daily", 1, 2.2584, 108.0, 38.1),
        ("cao_sabr_1m_daily", 5, 2.2584, 69.1, 50.2),
    ],
)
def test_delta_costs_what_the_paper_says(name: str, days: int, premium: float, mean: float, deviation: float) -> None:
    losses, received = delta_losses(name, days)
    assert 100 * received == pytest.approx(premium, abs=6e-5)
    cost = 100 * losses / received
    spread = float(cost.std())
    kurtosis = float(((cost - cost.mean()) / spread).pow(4).mean())
    error = spread * (1 / PATHS + 1 / THEIRS) ** 0.5
    assert float(cost.mean()) == pytest.approx(mean, abs=ERRORS * error + HALF_DIGIT)
    assert spread == pytest.approx(deviation, abs=ERRORS * error * ((kurtosis - 1) / 4) ** 0.5 + HALF_DIGIT)
