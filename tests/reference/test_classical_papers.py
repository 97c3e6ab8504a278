"""The classical hedges on the papers' markets: what others' simulators say they cost, by configuration alone."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from torch import Tensor

from agents.base import Classical
from agents.classical.fixed_band import FixedBand
from agents.classical.leland import Leland
from agents.classical.minimum_variance import MinimumVariance
from agents.classical.zakamouline import Zakamouline
from envs.seeding import generators
from envs.task import Task
from train import cohort

LITERATURE = Path(__file__).parents[2] / "configs" / "literature"
PATHS = 20_000
THEIRS = 100_001  # paths of the figures
ERRORS = 4.0  # standard errors
SPOT = 100.0  # their risk aversion is per unit of money of a call on it
ROWS: dict[str, list[tuple[Classical, float | None, float | None, float]]] = {
    # research/papers.md §1.2, independent of this project: mean, deviation, mean + 1.5 deviations, % of the premium
    "cao_gbm_1m_daily": [
        (Leland(1), None, None, 144.1),
        (Zakamouline(3.9 * SPOT), 68.2, 39.8, 127.9),
        (FixedBand(0.11), 67.0, 41.5, 129.2),
    ],
    "cao_gbm_3m_daily": [
        (Leland(1), None, None, 107.8),
        (Zakamouline(2.8 * SPOT), 47.9, 26.2, 87.1),
        (FixedBand(0.08), 48.7, 26.8, 88.9),
    ],
    "cao_sabr_1m_daily": [  # the first is the paper's own row of Bartlett's delta, §1.1
        (MinimumVariance(), 107.7, 39.4, 166.8),
        (Leland(1), None, None, 146.7),
        (FixedBand(0.11), None, None, 129.5),
    ],
}


@functools.cache
def costs(case: str) -> Tensor:
    """(PATHS, n) final losses in % of the premium, by agent."""
    agents = [row[0] for row in ROWS[case]]
    (generator,) = generators(4, 1)
    task = Task.load(LITERATURE / f"{case}.toml")
    (world,) = task.cohort(PATHS, len(agents), generator, PATHS)
    premium = float(world.episode.book.claims[0, 0]) / task.contract.notional
    return 100 * cohort.run(iter([world]), agents).loss.double() / premium


@pytest.mark.parametrize(
    ("case", "place"), [(case, place) for case, rows in ROWS.items() for place in range(len(rows))]
)
def test_a_hedge_costs_what_others_found(case: str, place: int) -> None:
    """To four standard errors of both samples, and half a digit."""
    _, mean, deviation, both = ROWS[case][place]
    cost = costs(case)[:, place]
    spread = float(cost.std())
    kurtosis = float(((cost - cost.mean()) / spread).pow(4).mean())
    samples = (1 / PATHS + 1 / THEIRS) ** 0.5
    of_mean, of_deviation = spread * samples, spread * ((kurtosis - 1) / 4) ** 0.5 * samples
    half_digit = 0.05
    if mean is not None and deviation is not None:
        assert float(cost.mean()) == pytest.approx(mean, abs=ERRORS * of_mean + half_digit)
        assert spread == pytest.approx(deviation, abs=ERRORS * of_deviation + half_digit)
    y = float(cost.mean()) + 1.5 * spread
    assert y == pytest.approx(both, abs=ERRORS * (of_mean + 1.5 * of_deviation) + half_digit)
