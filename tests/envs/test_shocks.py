"""Liquidation cascades against sampling, numerical integration and hand-worked decay."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from torch import Tensor

from envs import shocks
from envs.calibration import Liquidity, Shocks
from envs.seeding import generators

HOUR = 1 / 8760
HAND = Shocks(
    base_rate=8.0,
    excitation=50.0,
    threshold=3.0,
    half_life_hours=4.0,
    leverage=1.5,
    variance_gain=1.1,
    news_gain=1.05,
    least_size=6.0,
    mean_size=3.0,
    max_fall=0.2,
    max_rise=0.15,
    rise_share=0.4,
)
BOOK = Liquidity(
    calm_half_spread=1e-4,
    stressed_half_spread=1e-3,
    calm_depth=2e6,
    stressed_depth=2e5,
    half_strain=10.0,
    deleveraging_range=0.1,
    deleveraged_share=0.4,
)
laws = st.builds(
    lambda **changed: HAND.model_copy(update=changed),
    base_rate=st.floats(0, 100),
    excitation=st.floats(0, 100),
    leverage=st.floats(0, 2),
    half_life_hours=st.floats(0.5, 100),
    least_size=st.floats(3, 8),
    mean_size=st.floats(0.5, 5),
    max_fall=st.floats(0.05, 0.5),
    max_rise=st.floats(0.05, 0.5),
    rise_share=st.floats(0, 1),
)


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def mean_of(law: Shocks, deviation: float, sign: float, bound: float) -> float:
    """E[e^(sign·min(deviation·size, bound))] by quadrature over the exponential density, the bounded part exactly."""
    reach = max((bound / deviation - law.least_size) / law.mean_size, 0.0)
    inside, _ = quad(
        lambda x: math.exp(sign * deviation * (law.least_size + law.mean_size * x) - x), 0, min(reach, 60), epsrel=1e-11
    )
    return inside + math.exp(sign * bound - reach)


@given(law=laws, deviation=st.floats(0.001, 0.05))
def test_mean_factor_is_the_integral_over_sizes_and_directions(law: Shocks, deviation: float) -> None:
    """To the midpoint rule's error: with 4,096 points a monotone integrand is off by under its range over 2·4,096."""
    found = float(shocks.mean_factor(law, column(deviation)))
    up, down = mean_of(law, deviation, 1, law.max_rise), mean_of(law, deviation, -1, law.max_fall)
    expected = law.rise_share * up + (1 - law.rise_share) * down
    wide = law.rise_share * math.exp(law.max_rise) + (1 - law.rise_share)
    assert found == pytest.approx(expected, abs=wide / (2 * shocks.QUADRATURE))


def test_sizes_share_out_direction_and_start_where_cascades_begin() -> None:
    """Falls below 1 − rise_share, then rises, each exponential beyond least_size: quantiles, so they never decrease."""
    found = shocks.sizes(HAND, column(0.6 * math.exp(-2), 0.6 - 1e-12, 0.6 + 1e-12, 1 - 0.4 * math.exp(-1)))
    assert found.tolist() == pytest.approx([-12.0, -6.0, 6.0, 9.0])
    assert (shocks.sizes(HAND, torch.linspace(0, 1, 999, dtype=torch.float64)).diff() >= 0).all()


def test_sampled_sizes_have_the_laws_mean_and_share() -> None:
    """k = 4 standard errors, n = 200,000."""
    count = 200_000
    drawn = shocks.sizes(HAND, torch.rand(count, generator=generators(201, 1)[0], dtype=torch.float64))
    assert float(drawn.abs().mean()) == pytest.approx(9.0, abs=4 * 3 / math.sqrt(count))
    assert float((drawn > 0).double().mean()) == pytest.approx(0.4, abs=4 * 0.5 / math.sqrt(count))
    assert float(drawn.abs().min()) >= 6.0


def test_excitement_halves_every_half_life_and_is_fed_by_moves_beyond_the_threshold() -> None:
    calm, at, fall, rise = -0.5, -3.0, -5.0, 9.0
    found = shocks.excited(HAND, column(40.0, 40.0, 40.0, 40.0), column(calm, at, fall, rise), 4 * HOUR)
    assert found.tolist() == pytest.approx([20.0, 20.0, 22.0, 26.0])


def test_decay_does_not_depend_on_the_bar_it_is_seen_through() -> None:
    hourly = column(40.0)
    for _ in range(8):
        hourly = shocks.excited(HAND, hourly, column(0.0), HOUR)
    assert float(hourly) == pytest.approx(10.0, rel=1e-12)


@given(law=laws, excitement=st.floats(0, 100), calm=st.floats(0.05, 20), hours=st.floats(0.1, 24))
def test_probability_is_that_of_a_poisson_count(law: Shocks, excitement: float, calm: float, hours: float) -> None:
    found = float(shocks.probability(law, column(excitement), column(calm), hours * HOUR))
    rate = (law.base_rate + law.excitation * excitement) * calm ** (law.leverage / 2)
    assert found == pytest.approx(1 - math.exp(-rate * hours * HOUR), rel=1e-9, abs=1e-15)
    assert 0 <= found <= 1
    assert float(shocks.probability(law, column(excitement + 1), column(calm), hours * HOUR)) >= found


def test_calm_feeds_cascades_and_turbulence_starves_them() -> None:
    """Leverage 1.5: at a quarter of the reference variance the rate is 4^0.75 times the reference's."""
    rates = -torch.log1p(-shocks.probability(HAND, column(0, 0, 0), column(4.0, 1.0, 0.25), HOUR)) / HOUR
    assert rates.tolist() == pytest.approx([8 * 4**0.75, 8, 8 * 4**-0.75])


def test_rare_cascades_do_not_round_to_never() -> None:
    law = HAND.model_copy(update={"base_rate": 1e-9})
    found = float(shocks.probability(law, torch.zeros(1), torch.ones(1), HOUR))
    assert found == pytest.approx(1e-9 * HOUR, rel=1e-5, abs=0)


def test_the_book_withdraws_by_hand_worked_shares() -> None:
    strain = column(0.0, 10.0, 30.0)
    congestion = shocks.congestion(BOOK, strain)
    assert congestion.tolist() == pytest.approx([0, 1 / 2, 3 / 4])
    assert shocks.half_spread(BOOK, strain).tolist() == pytest.approx([1e-4, 5.5e-4, 1e-4 + 9e-4 * 0.9])
    assert shocks.depth(BOOK, congestion).tolist() == pytest.approx([2e6, 1.1e6, 6.5e5])


def test_far_from_the_crash_the_spread_recovers_twice_as_fast_as_the_depth() -> None:
    """One half-life of a small strain: depth's shortfall halves, the spread's excess quarters."""
    early, late = column(1e-4), column(5e-5)
    spread = [float(shocks.half_spread(BOOK, x)) - BOOK.calm_half_spread for x in (early, late)]
    missing = [BOOK.calm_depth - float(shocks.depth(BOOK, shocks.congestion(BOOK, x))) for x in (early, late)]
    assert missing[0] / missing[1] == pytest.approx(2, rel=1e-4)
    assert spread[0] / spread[1] == pytest.approx(4, rel=1e-3)


@given(strain=st.floats(0, 1e6))
def test_a_strained_book_stays_between_calm_and_stressed(strain: float) -> None:
    x = column(strain)
    assert 0 <= float(shocks.congestion(BOOK, x)) < 1
    assert BOOK.calm_half_spread <= float(shocks.half_spread(BOOK, x)) <= BOOK.stressed_half_spread
    assert BOOK.stressed_depth <= float(shocks.depth(BOOK, shocks.congestion(BOOK, x))) <= BOOK.calm_depth


def test_winners_are_closed_only_in_extreme_bars_and_never_beyond_the_share() -> None:
    low = column(100.0, 100.0, 100.0, 100.0)
    high = low * torch.exp(column(0.09, 0.1, 0.15, 0.5))
    assert shocks.deleveraged(BOOK, low, high).tolist() == pytest.approx([0, 0, 0.2, 0.4], abs=1e-12)
