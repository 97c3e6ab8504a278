"""Two seeds of a hundred thousand paths tell the same of the delta hedge."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from agents.classical.delta import Delta
from envs.objective import expected_shortfall
from envs.seeding import generators
from envs.task import Task
from tests.envs.worlds import F64, carried

PATHS, BLOCK = 100_000, 50_000
RESAMPLES = 200
LEVEL = 0.95


def losses(seed: int) -> Tensor:
    """Final losses (PATHS,) of the delta hedge in `short_call`, in basis points."""
    worlds = Task.load("short_call").cohort(PATHS, 1, generators(seed, 1)[0], BLOCK)
    return 1e4 * torch.cat([carried(world, Delta())[1][:, 0] for world in worlds]).to(F64)


def mean_error(influence: Tensor) -> float:
    return float(influence.std()) / math.sqrt(len(influence))


def shortfall_error(sample: Tensor) -> float:
    """Of the mean beyond the quantile q, by its influence (L − q)⁺/(1 − level): Trindade et al. (2007), JBF 31."""
    return mean_error((sample - sample.quantile(LEVEL)).clamp(min=0) / (1 - LEVEL))


def spread_error(sample: Tensor) -> float:
    """Of the standard deviation, by a bootstrap.

    Where the tail index is near 3 the estimate's own variance does not exist: then this is an error of the sample at
    hand, and too small for what a rarer crash would add.
    """
    generator = torch.Generator().manual_seed(1)
    picks = (torch.randint(len(sample), sample.shape, generator=generator) for _ in range(RESAMPLES))
    return float(torch.stack([sample[pick].std() for pick in picks]).std())


@pytest.mark.slow
def test_two_seeds_agree_on_mean_shortfall_and_deviation_within_their_errors() -> None:
    """k = 3 standard errors of a difference."""
    samples = [losses(seed) for seed in (1, 2)]
    report = []
    for name, values, errors in (
        ("mean", [s.mean() for s in samples], [mean_error(each) for each in samples]),
        ("ES95", [expected_shortfall(s, LEVEL) for s in samples], [shortfall_error(each) for each in samples]),
        ("std", [s.std() for s in samples], [spread_error(each) for each in samples]),
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
    expected = math.sqrt(second - first**2) / (0.05 * math.sqrt(PATHS))
    assert mean_error(sample) == pytest.approx(1 / math.sqrt(PATHS), rel=0.02)
    assert shortfall_error(sample) == pytest.approx(expected, rel=0.02)
    assert spread_error(sample) == pytest.approx(1 / math.sqrt(2 * PATHS), rel=0.15)
