"""Two seeds of a hundred thousand paths tell the same of the delta hedge."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from agents.delta import Delta
from envs.objective import expected_shortfall
from envs.seeding import generators
from envs.task import Task
from tests.envs.worlds import F64, carried

PATHS, BLOCK = 100_000, 20_000
RESAMPLES = 200
LEVEL = 0.95


def losses(seed: int) -> tuple[Tensor, Tensor]:
    """Final losses (PATHS,) of the delta hedge in `short_call`, in basis points, and which start each path has.

    Paths that begin in one state are no independent draws: measured on 10,000 paths from 500 states, 17 % of the
    variance of losses lies between states.
    """
    rows, spots = [], []
    for world in Task.load("short_call").cohort(PATHS, 1, generators(seed, 1)[0], BLOCK):
        spots.append(world.episode.quotes[0].spot.clone())
        rows.append(carried(world, Delta())[1][:, 0])
    return 1e4 * torch.cat(rows).to(F64), torch.cat(spots).unique(return_inverse=True)[1]


def clustered_error(influence: Tensor, start: Tensor) -> float:
    """Of a mean of `influence` (N,), whose values are alike where `start` (N,) is: √Σ (Σ within a start)² / N."""
    sums = influence.new_zeros(int(start.max()) + 1).index_add(0, start, influence - influence.mean())
    return float(sums.square().sum().sqrt()) / len(influence)


def shortfall_error(sample: Tensor, start: Tensor) -> float:
    """Of the mean beyond the quantile q, by its influence (L − q)⁺/(1 − level): Trindade et al. (2007), JBF 31."""
    return clustered_error((sample - sample.quantile(LEVEL)).clamp(min=0) / (1 - LEVEL), start)


def spread_error(sample: Tensor, start: Tensor) -> float:
    """Of the standard deviation, by a bootstrap of whole starts.

    Where the tail index is near 3 the estimate's own variance does not exist: then this is an error of the sample at
    hand, and too small for what a rarer crash would add.
    """
    generator, count = torch.Generator().manual_seed(1), int(start.max()) + 1
    found = []
    for _ in range(RESAMPLES):
        drawn = torch.randint(count, (count,), generator=generator)
        weight = torch.bincount(drawn, minlength=count)[start].to(F64)
        mean = (weight * sample).sum() / weight.sum()
        found.append(((weight * (sample - mean).square()).sum() / weight.sum()).sqrt())
    return float(torch.stack(found).std())


@pytest.mark.slow
def test_two_seeds_agree_on_mean_shortfall_and_deviation_within_their_errors() -> None:
    """k = 3 standard errors of a difference."""
    samples = [losses(seed) for seed in (1, 2)]
    report = []
    for name, values, errors in (
        ("mean", [s.mean() for s, _ in samples], [clustered_error(*each) for each in samples]),
        ("ES95", [expected_shortfall(s, LEVEL) for s, _ in samples], [shortfall_error(*each) for each in samples]),
        ("std", [s.std() for s, _ in samples], [spread_error(*each) for each in samples]),
    ):
        one, other = (float(value) for value in values)
        report.append((name, one, errors[0], other, errors[1], abs(one - other) / math.hypot(*errors)))
    print(*report, sep="\n")
    assert all(apart < 3 for *_, apart in report), report


def test_the_errors_are_those_of_a_normal_law() -> None:
    """n = 100,000 draws: ES95 in closed form, and 1/√(2n) for the deviation within 15 % (200 resamples: 5 %)."""
    sample = torch.randn(PATHS, generator=torch.Generator().manual_seed(5), dtype=F64)
    q = 1.6448536269514722
    density = math.exp(-q * q / 2) / math.sqrt(2 * math.pi)
    first = density - 0.05 * q
    second = 0.05 * (1 + q * q) - q * density
    alone = torch.arange(PATHS)
    expected = math.sqrt(second - first**2) / (0.05 * math.sqrt(PATHS))
    assert clustered_error(sample, alone) == pytest.approx(1 / math.sqrt(PATHS), rel=0.02)
    assert shortfall_error(sample, alone) == pytest.approx(expected, rel=0.02)
    assert spread_error(sample, alone) == pytest.approx(1 / math.sqrt(2 * PATHS), rel=0.15)


def test_paths_that_are_alike_count_once() -> None:
    """Each draw four times over, known to be: the errors are twice those of so many draws of their own."""
    sample = torch.randn(5_000, generator=torch.Generator().manual_seed(6), dtype=F64)
    start = torch.arange(5_000)
    fourfold = sample.repeat(4), start.repeat(4)
    for error in (clustered_error, shortfall_error, spread_error):
        assert error(*fourfold) == pytest.approx(error(sample, start), rel=0.02)
