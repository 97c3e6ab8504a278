"""What single objectives promise of their own: by hand, at their limits, and where numbers grow large."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import integrate, stats
from torch import Tensor

from envs.objective import LEAST_SPREAD, Objective, expected_shortfall, normal_excess
from envs.objectives.clipped_mean_std import ClippedMeanStd
from envs.objectives.entropic import STRAIGHT, Entropic
from envs.objectives.kolm_ritter import KolmRitter
from envs.objectives.mean_shortfall import MeanShortfall
from envs.objectives.mean_std import MeanStd
from envs.objectives.mean_variance import MeanVariance
from envs.seeding import generators

samples = arrays(np.float64, st.integers(1, 40), elements=st.floats(-100, 100)).map(torch.from_numpy)
levels = st.floats(0.05, 0.99)


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (0.75, 4.0),  # the worst one of four
        (0.5, 3.5),
        (0.625, (4.0 + 0.5 * 3.0) / 1.5),  # one and a half of four
        (0.9, 4.0),  # less than one whole loss
        (0.3, (4 + 3 + 0.8 * 2) / 2.8),
        (1e-12, 2.5),  # the mean
    ],
)
def test_shortfall_of_four_losses_counts_fractions(level: float, expected: float) -> None:
    assert float(expected_shortfall(column(2.0, 4.0, 1.0, 3.0), level)) == pytest.approx(expected, rel=1e-9)
    assert float(expected_shortfall(column(7.0), level)) == pytest.approx(7.0)


@given(losses=samples, level=levels)
def test_shortfall_is_the_integral_of_the_upper_quantiles(losses: Tensor, level: float) -> None:
    """Over every loss's share of [level, 1], each loss holding 1/n of the probability."""
    ranked = losses.sort().values
    edges = torch.linspace(0, 1, len(ranked) + 1, dtype=torch.float64)
    share = (edges[1:] - edges[:-1].clamp(min=level)).clamp(min=0)
    expected = float((share * ranked).sum()) / (1 - level)
    assert float(expected_shortfall(losses, level)) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_transforms_by_hand() -> None:
    """At C = −1, 1, 2: 0.5·C + 0.5·(1 + 4·(C − 1)⁺); C + ((C − 1)²/2 + 2)/2; the same held from C = −1 down; …"""
    losses, one = column(-1.0, 1.0, 2.0), torch.tensor(1.0).double()
    cases: list[tuple[Objective, Tensor, list[float]]] = [
        (MeanShortfall(weight=0.5, level=0.75), one, [0.0, 1.0, 3.5]),
        (MeanStd(weight=1), column(1.0, 2.0), [1.0, 2.0, 3.25]),
        (ClippedMeanStd(weight=1), column(-1.0, 2.0), [1.0, 2.0, 3.25]),
        (Entropic(risk_aversion=2), one, [1 + math.expm1(-4) / 2, 1.0, 1 + math.expm1(2) / 2]),
        (MeanVariance(risk_aversion=3), one, [5.0, 1.0, 3.5]),
    ]
    for objective, dual, expected in cases:
        assert objective.transform(losses, dual).tolist() == pytest.approx(expected)
        assert float(objective.centre(dual)) == 1
    assert float(ClippedMeanStd(weight=1).transform(column(-50.0), column(-1.0, 2.0))) == pytest.approx(1.0)


def test_entropic_goes_straight_on_far_beyond_its_dual_and_stays_finite() -> None:
    """Where x = 20, smoothly, to the closed form of its piecewise mean; by quadrature to 1e-8 of it."""
    objective, dual = Entropic(risk_aversion=10), torch.tensor(0.1).double()
    edge = 0.1 + STRAIGHT / 10
    rows = objective.transform(column(edge - 1e-6, edge, edge + 1e-6, edge + 1), dual)
    assert float(rows[1] - rows[0]) == pytest.approx(1e-6 * math.exp(20), rel=1e-5)
    assert float(rows[2] - rows[1]) == pytest.approx(1e-6 * math.exp(20), rel=1e-5)
    assert float(rows[3] - rows[1]) == pytest.approx(math.exp(20), rel=1e-9)
    for mean, spread in ((0.0, 1.0), (1.5, 0.5), (4.0, 2.0), (2.1, 0.01)):

        def weighed(c: float, m: float = mean, s: float = spread) -> float:
            return float(objective.transform(column(c), dual)) * float(stats.norm.pdf(c, m, s))

        low, high = mean - 12 * spread, mean + 12 * spread
        points = [edge] if low < edge < high else None
        averaged, _ = integrate.quad(weighed, low, high, points=points, epsabs=0, epsrel=1e-10, limit=300)
        found = objective.prospect(column(mean), column(spread), dual)
        assert float(found) == pytest.approx(averaged, rel=1e-8)


def test_no_loss_of_a_sample_is_straightened_at_the_samples_own_dual() -> None:
    """The worst one's exponent is at most ln N, here 100,000 losses, one of them far beyond all others."""
    objective = Entropic(risk_aversion=50)
    losses = torch.zeros(100_000, dtype=torch.float64)
    losses[0] = 40.0
    dual = objective.dual(losses)
    assert 50 * float(losses[0] - dual) == pytest.approx(math.log(100_000))
    assert float(objective.transform(losses, dual).mean()) == pytest.approx(float(objective.value(losses)), rel=1e-9)


def test_entropic_tends_to_the_mean_and_mean_variance_as_aversion_closes() -> None:
    """Λ²/6 of the third cumulant apart: 2·skewness for an exponential law of scale 1, and less than 3 with the rest."""
    losses = -torch.log1p(-(torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000)
    for aversion in (0.1, 0.01):
        entropic, plain = Entropic(risk_aversion=aversion), MeanVariance(risk_aversion=aversion)
        gap = float(entropic.value(losses) - plain.value(losses))
        assert 0.9 * aversion**2 / 3 < gap < 1.3 * aversion**2 / 3


def test_kolm_and_ritters_rewards_add_up_to_their_own_sum() -> None:
    """Two gains and a loss at κ = 2; then, on average over independent gains of mean μ and deviation s, n of them:
    n·μ − (κ/2)·n·(s² + μ²), within k = 4 standard errors."""
    objective, dual = KolmRitter(risk_aversion=2), torch.tensor(0.0)
    path = column(0.0, -0.5, -0.7, 0.3)
    earned = objective.reward(path[:-1], path[1:], dual)
    assert earned.tolist() == pytest.approx([0.5 - 0.25, 0.2 - 0.04, -1.0 - 1.0])
    gains = 0.01 + 0.1 * torch.randn(100_000, 8, generator=generators(703, 1)[0], dtype=torch.float64)
    losses = torch.cat([torch.zeros(100_000, 1).double(), -gains.cumsum(1)], 1)
    totals = objective.reward(losses[:, :-1], losses[:, 1:], dual).sum(1)
    error = float(totals.std()) / math.sqrt(100_000)
    assert abs(float(totals.mean()) - 8 * (0.01 - (0.01 + 1e-4))) < 4 * error
    final = losses[:, -1]  # mean–variance, but for what the means of the steps add
    error = float(objective.transform(final, final.mean()).std()) / math.sqrt(100_000)
    assert abs(float(objective.value(final)) - (-0.08 + 8 * 0.01)) < 4 * error


def test_equal_losses_have_a_dual_that_divides() -> None:
    losses = torch.full((64,), 0.25, dtype=torch.float64)
    for objective in (MeanStd(), ClippedMeanStd()):
        dual = objective.dual(losses)
        assert float(dual[1]) == LEAST_SPREAD
        assert float(objective.centre(dual)) == pytest.approx(0.25, abs=1e-6)
        assert float(objective.transform(losses, dual).mean()) == pytest.approx(0.25, abs=3e-6)
        assert float(objective.value(losses)) == pytest.approx(0.25)


def test_normal_excess_is_its_integral() -> None:
    for mean, spread in ((0.0, 1.0), (-2.0, 0.5), (3.0, 0.1)):
        tail = integrate.quad(lambda c, m=mean, s=spread: stats.norm.sf(c, m, s), 0.4, mean + 40 * spread, limit=200)[0]
        found = normal_excess(column(mean), column(spread), column(0.4))
        assert float(found) == pytest.approx(max(float(tail), 0), rel=1e-7, abs=1e-10)
