"""Liquidation cascades against sampling, numerical integration and hand-worked decay."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from torch import Tensor

from envs import shocks
from envs.calibration import Calibration, Liquidity, Shocks
from envs.seeding import generators
from envs.simulated import SHIPPED_CALIBRATION

HOUR = 1 / 8760
HAND = Shocks(base_rate=8.0, excitation=50.0, fall_threshold=3.0, half_life_hours=4.0, mean_size=0.05, max_size=0.2)
BOOK = Liquidity(
    calm_half_spread=1e-4, stressed_half_spread=1e-3, calm_depth=2e6, stressed_depth=2e5, half_stress_rate=10.0
)
laws = st.builds(
    Shocks,
    base_rate=st.floats(0, 100),
    excitation=st.floats(0, 100),
    fall_threshold=st.floats(0.5, 5),
    half_life_hours=st.floats(0.5, 100),
    mean_size=st.floats(0.005, 0.2),
    max_size=st.floats(0.05, 0.5),
)


@pytest.fixture(scope="module")
def shipped() -> Shocks:
    return Calibration.load(SHIPPED_CALIBRATION).shocks


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def mean_of(law: Shocks, function: object) -> float:
    """E[function(J)] by quadrature over the truncated exponential density."""
    inside = -math.expm1(-law.max_size / law.mean_size)
    value, _ = quad(
        lambda j: function(j) * math.exp(-j / law.mean_size) / law.mean_size / inside,  # type: ignore[operator]
        0,
        law.max_size,
        epsabs=0,
        epsrel=1e-10,
    )
    return float(value)


@given(law=laws)
def test_closed_forms_are_the_integrals(law: Shocks) -> None:
    assert shocks.mean_factor(law) == pytest.approx(mean_of(law, lambda j: math.exp(-j)), rel=1e-8)
    assert shocks.second_moment(law) == pytest.approx(mean_of(law, lambda j: j * j), rel=1e-6)


def test_sizes_invert_the_truncated_exponential(shipped: Shocks) -> None:
    """The distribution function of a size gives its uniform back; none reaches the bound."""
    uniform = torch.linspace(0, 1 - 1e-9, 1001, dtype=torch.float64)
    found = shocks.sizes(shipped, uniform)
    inside = -math.expm1(-shipped.max_size / shipped.mean_size)
    assert (-torch.expm1(-found / shipped.mean_size) / inside).tolist() == pytest.approx(uniform.tolist(), abs=1e-12)
    assert float(found[0]) == 0
    assert float(found.max()) < shipped.max_size
    assert (found.diff() > 0).all()


def test_sampled_sizes_have_the_closed_forms_moments(shipped: Shocks) -> None:
    """k = 4 standard errors, n = 100,000."""
    (generator,) = generators(201, 1)
    drawn = shocks.sizes(shipped, torch.rand(100_000, generator=generator, dtype=torch.float64))
    for sample, expected in (
        ((-drawn).exp(), shocks.mean_factor(shipped)),
        (drawn.square(), shocks.second_moment(shipped)),
    ):
        error = float(sample.std()) / math.sqrt(len(sample))
        assert abs(float(sample.mean()) - expected) < 4 * error


def test_excitement_halves_every_half_life_and_is_fed_by_falls_beyond_the_threshold() -> None:
    calm, at, beyond, rise = -0.5, -3.0, -5.0, 9.0
    found = shocks.excited(HAND, column(40.0, 40.0, 40.0, 40.0), column(calm, at, beyond, rise), 4 * HOUR)
    assert found.tolist() == pytest.approx([20.0, 20.0, 20.0 + 50 * 2, 20.0])


def test_decay_does_not_depend_on_the_bar_it_is_seen_through() -> None:
    hourly = column(40.0)
    for _ in range(8):
        hourly = shocks.excited(HAND, hourly, column(0.0), HOUR)
    assert float(hourly) == pytest.approx(10.0, rel=1e-12)


@given(law=laws, excitement=st.floats(0, 1e4), hours=st.floats(0.1, 24))
def test_probability_is_that_of_a_poisson_count(law: Shocks, excitement: float, hours: float) -> None:
    found = float(shocks.probability(law, column(excitement), hours * HOUR))
    assert found == pytest.approx(1 - math.exp(-(law.base_rate + excitement) * hours * HOUR), rel=1e-9, abs=1e-15)
    assert 0 <= found <= 1
    assert float(shocks.probability(law, column(excitement + 1), hours * HOUR)) >= found


def test_rare_cascades_do_not_round_to_never() -> None:
    law = HAND.model_copy(update={"base_rate": 1e-9})
    assert float(shocks.probability(law, torch.zeros(1), HOUR)) == pytest.approx(1e-9 * HOUR, rel=1e-5, abs=0)


@given(law=laws, excitement=st.floats(0.01, 1e3), hours=st.floats(0.5, 48))
def test_term_variance_is_the_mean_of_the_decaying_intensity(law: Shocks, excitement: float, hours: float) -> None:
    """By 4,000 midpoints; over a century the whole decaying intensity is counted once."""
    years, decay = hours * HOUR, math.log(2) / (law.half_life_hours * HOUR)
    middle = (np.arange(4000) + 0.5) / 4000 * years
    expected = excitement * shocks.second_moment(law) * float(np.exp(-decay * middle).mean())
    found = shocks.term_variance(law, column(excitement, excitement), column(years, 100.0))
    assert float(found[0]) == pytest.approx(expected, rel=1e-4)
    assert float(found[1]) * 100 == pytest.approx(excitement * shocks.second_moment(law) / decay, rel=1e-9)


def test_stress_is_one_half_at_its_rate_and_withdraws_the_book() -> None:
    """Spread and depth go a stress's share of the way from calm to stressed: none, half, ten elevenths."""
    excitement = column(0.0, 10.0, 100.0)
    assert shocks.stress(BOOK, excitement).tolist() == pytest.approx([0, 1 / 2, 10 / 11])
    assert shocks.half_spread(BOOK, excitement).tolist() == pytest.approx([1e-4, 5.5e-4, 1e-4 + 9e-4 * 10 / 11])
    assert shocks.depth(BOOK, excitement).tolist() == pytest.approx([2e6, 1.1e6, 2e6 - 1.8e6 * 10 / 11])


@given(excitement=st.floats(0, 1e6))
def test_a_stressed_book_stays_between_calm_and_stressed(excitement: float) -> None:
    x = column(excitement)
    assert 0 <= float(shocks.stress(BOOK, x)) < 1
    assert 1e-4 <= float(shocks.half_spread(BOOK, x)) <= 1e-3
    assert 2e5 <= float(shocks.depth(BOOK, x)) <= 2e6
