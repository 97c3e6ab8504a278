"""Standard errors by influence against the bootstrap, and against what is known of normal losses."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from envs.objective import Objective
from envs.objectives.entropic import Entropic
from envs.objectives.mean_shortfall import MeanShortfall
from envs.objectives.mean_std import MeanStd
from envs.seeding import generators
from train.influence import Influences
from train.statistics import Resampled

PATHS, REPLICATES = 4000, 400
OBJECTIVES = [MeanStd(weight=1.5), MeanShortfall(weight=0.5), Entropic(risk_aversion=0.5)]
CLOSE = 4 / math.sqrt(2 * REPLICATES)  # relative, four standard errors of a bootstrap's standard deviation


def drawn(seed: int) -> Tensor:
    """(PATHS, 3): skewed losses, the same a third less spread, and those half-way between."""
    (generator,) = generators(seed, 1)
    first = torch.randn(PATHS, generator=generator, dtype=torch.float64).exp()
    third = 0.7 * first + 0.3 * torch.randn(PATHS, generator=generator, dtype=torch.float64)
    return torch.stack([first, third, (first + third) / 2], -1)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda one: one.kind)
def test_errors_are_those_of_the_bootstrap(objective: Objective) -> None:
    losses, (generator,) = drawn(1).clamp(max=8), generators(2, 1)
    influences = Influences(objective, losses)
    values = Resampled(losses, generator).of(objective.value, REPLICATES)
    shares = (values[:, 0] - values[:, 2]) / (values[:, 0] - values[:, 1])
    assert influences.measure(0).se == pytest.approx(float(values[:, 0].std()), rel=CLOSE)
    assert influences.difference(1, 0).se == pytest.approx(float((values[:, 1] - values[:, 0]).std()), rel=CLOSE)
    assert influences.share(2, 0, 1).se == pytest.approx(float(shares.std()), rel=CLOSE)


def test_values_and_the_known_error_of_a_normal_sample() -> None:
    """Var of mean + w·std of N normal losses is σ²·(1 + w²/2)/N."""
    (generator,) = generators(3, 1)
    losses = torch.randn(PATHS, 2, generator=generator, dtype=torch.float64)
    influences = Influences(MeanStd(weight=1.5), losses)
    known = math.sqrt((1 + 1.5**2 / 2) / PATHS)
    assert influences.measure(0).value == pytest.approx(float(MeanStd(weight=1.5).value(losses[:, 0])), rel=1e-12)
    assert influences.measure(0).se == pytest.approx(known, rel=4 * 1.5 / math.sqrt(PATHS))
    found = influences.measure(1)
    assert (found.high - found.low) / 2 == pytest.approx(1.959964 * found.se, rel=1e-9)


def test_shares_of_the_ends_are_nothing_and_all() -> None:
    influences = Influences(MeanStd(weight=1.5), drawn(4))
    for hedger, share in ((0, 0.0), (1, 1.0)):
        found = influences.share(hedger, base=0, best=1)
        assert (found.value, found.se) == pytest.approx((share, 0.0), abs=1e-12)
