"""The risk measure against closed forms, brute force, and its own telescoping rewards."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from torch import Tensor

from envs.objective import MeanShortfall, expected_shortfall
from envs.seeding import generators

N = 1_000_000  # midpoints of a law's quantiles: integrals of it, without sampling error
levels = st.floats(0.05, 0.99)
samples = arrays(np.float64, st.integers(1, 40), elements=st.floats(-100, 100)).map(torch.from_numpy)


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture(scope="module")
def places() -> np.ndarray:
    return (np.arange(N) + 0.5) / N


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
def test_shortfall_of_the_normal_and_exponential_laws(places: np.ndarray, level: float) -> None:
    """μ + σ·n(z)/(1 − level), and (1 − ln(1 − level))/λ."""
    normal = torch.from_numpy(stats.norm(3, 2).ppf(places))
    exponential = torch.from_numpy(stats.expon(scale=0.5).ppf(places))
    z = stats.norm.ppf(level)
    assert float(expected_shortfall(normal, level)) == pytest.approx(3 + 2 * stats.norm.pdf(z) / (1 - level), abs=2e-4)
    assert float(expected_shortfall(exponential, level)) == pytest.approx(0.5 * (1 - math.log(1 - level)), abs=2e-4)


def test_dual_and_value_of_the_normal_law(places: np.ndarray) -> None:
    objective, z = MeanShortfall(weight=0.3, level=0.9), float(stats.norm.ppf(0.9))
    losses = torch.from_numpy(stats.norm(3, 2).ppf(places))
    assert float(objective.dual(losses)) == pytest.approx(3 + 2 * z, abs=1e-4)
    expected = 0.7 * 3 + 0.3 * (3 + 2 * float(stats.norm.pdf(z)) / 0.1)
    assert float(objective.value(losses)) == pytest.approx(expected, abs=1e-4)


def test_sampled_shortfall_lies_within_its_standard_error() -> None:
    """k = 4, n = 200,000: of a tail mean, s.e. = √(var of (X − q)⁺)/(1 − level)/√n (Trindade et al. 2007)."""
    (generator,) = generators(101, 1)
    n, level, z = 200_000, 0.95, float(stats.norm.ppf(0.95))
    losses = torch.randn(n, generator=generator, dtype=torch.float64)
    excess = (losses - z).clamp(min=0)
    error = float(excess.std()) / (1 - level) / math.sqrt(n)
    expected = float(stats.norm.pdf(z)) / (1 - level)
    assert abs(float(expected_shortfall(losses, level)) - expected) < 4 * error


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


def test_shortfall_and_value_work_over_the_last_axis() -> None:
    table = torch.stack([column(1.0, 2.0, 3.0, 4.0), column(40.0, 30.0, 20.0, 10.0)])
    assert expected_shortfall(table, 0.5).tolist() == pytest.approx([3.5, 35.0])
    assert MeanShortfall(weight=0.5, level=0.5).value(table).tolist() == pytest.approx([3.0, 30.0])
    assert expected_shortfall(column(7.0), 0.95).item() == pytest.approx(7.0)


def test_mean_and_shortfall_are_blended_by_weight() -> None:
    losses = column(1.0, 2.0, 3.0, 4.0)
    for weight, expected in ((0.0, 2.5), (1.0, 4.0), (0.25, 0.75 * 2.5 + 0.25 * 4.0)):
        assert float(MeanShortfall(weight=weight, level=0.75).value(losses)) == pytest.approx(expected)


def test_transform_by_hand() -> None:
    """φ(C) = 0.5·C + 0.5·(q + 4·(C − q)⁺) at q = 1: kinked there, steeper beyond."""
    objective = MeanShortfall(weight=0.5, level=0.75)
    found = objective.transform(column(-1.0, 1.0, 2.0), torch.tensor(1.0))
    assert found.tolist() == pytest.approx([0.0, 1.0, 3.5])


@given(losses=samples, weight=st.floats(0, 1), level=levels)
def test_value_is_the_least_mean_transform_and_the_dual_attains_it(losses: Tensor, weight: float, level: float) -> None:
    """Convex and piecewise linear in q, so its minimum lies at one of the losses."""
    objective = MeanShortfall(weight=weight, level=level)
    value, dual = float(objective.value(losses)), objective.dual(losses)
    means = torch.stack([objective.transform(losses, q).mean() for q in losses])
    near = {"rel": 1e-9, "abs": 1e-9}
    assert value == pytest.approx(float(means.min()), **near)
    assert value == pytest.approx(float(objective.transform(losses, dual).mean()), **near)
    for off in (-0.1, 0.1):
        assert float(objective.transform(losses, dual + off).mean()) >= value - 1e-9


@given(losses=samples, weight=st.floats(0, 1), level=levels, shift=st.floats(-50, 50), factor=st.floats(0.01, 50))
def test_measure_is_coherent(losses: Tensor, weight: float, level: float, shift: float, factor: float) -> None:
    """Shifts and scales with the losses, stands between their mean and worst, and never falls where they rise."""
    objective = MeanShortfall(weight=weight, level=level)
    value = float(objective.value(losses))
    near = {"rel": 1e-9, "abs": 1e-7}
    assert float(objective.value(losses + shift)) == pytest.approx(value + shift, **near)
    assert float(objective.value(losses * factor)) == pytest.approx(value * factor, **near)
    assert float(losses.mean()) - 1e-9 <= value <= float(losses.max()) + 1e-9
    higher = losses + torch.linspace(0, 1, len(losses), dtype=torch.float64)
    assert float(objective.value(higher)) >= value - 1e-9
    assert float(objective.value(losses + higher)) <= value + float(objective.value(higher)) + 1e-7


@given(losses=samples, level=levels)
def test_shortfall_is_the_integral_of_the_upper_quantiles(losses: Tensor, level: float) -> None:
    """Over every loss's share of [level, 1], each loss holding 1/n of the probability."""
    ranked = losses.sort().values
    edges = torch.linspace(0, 1, len(ranked) + 1, dtype=torch.float64)
    share = (edges[1:] - edges[:-1].clamp(min=level)).clamp(min=0)
    expected = float((share * ranked).sum()) / (1 - level)
    assert float(expected_shortfall(losses, level)) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(
    weight=st.floats(0, 1), level=levels, dual=st.floats(-2, 2), path=st.lists(st.floats(-5, 5), min_size=2, max_size=9)
)
def test_rewards_telescope(weight: float, level: float, dual: float, path: list[float]) -> None:
    objective, q = MeanShortfall(weight=weight, level=level), torch.tensor(dual, dtype=torch.float64)
    seen = objective.transform(column(*path), q)
    rewards = seen[:-1] - seen[1:]
    assert float(rewards.sum()) == pytest.approx(float(seen[0] - seen[-1]), abs=1e-9)
    assert (rewards[column(*path).diff() > 0] <= 0).all()  # a further loss never earns


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_prospect_is_the_transform_averaged_over_a_normal_law_and_slope_its_derivative(weight: float) -> None:
    """The mean by 100,000 midpoints of the law's quantiles, the derivative by central differences."""
    objective, dual, spread = MeanShortfall(weight=weight, level=0.9), torch.tensor(0.3).double(), 0.7
    noise = spread * torch.from_numpy(stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000))
    mean, bump = torch.linspace(-3, 3, 25, dtype=torch.float64), 1e-4

    def prospect(shift: float) -> Tensor:
        return objective.prospect(mean + shift, torch.tensor(spread).double(), dual)

    averaged = torch.stack([objective.transform(each + noise, dual).mean() for each in mean])
    assert (prospect(0.0) - averaged).abs().max() < 2e-4
    found = objective.slope(torch.special.ndtr((mean - dual) / spread))
    assert (found - (prospect(bump) - prospect(-bump)) / (2 * bump)).abs().max() < 1e-6
    assert float(found[0]) == pytest.approx(1 - weight, abs=1e-3)
    assert float(found[-1]) == pytest.approx(1 - weight + weight / 0.1, rel=1e-3)


def test_prospect_tends_to_the_transform_as_the_spread_closes() -> None:
    objective, dual, loss = MeanShortfall(), torch.tensor(0.3).double(), column(-1.0, 0.3, 2.0)
    closed = objective.prospect(loss, torch.tensor(1e-9).double(), dual)
    assert closed.tolist() == pytest.approx(objective.transform(loss, dual).tolist(), abs=1e-7)
