"""The classical bands at published values, and how they scale."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from envs import bands

SPOT, GAMMA, TIME, VOLATILITY, AVERSION, COST = 5000.0, 0.02, 0.25, 0.2, 1.0, 5e-4  # of the golden values, per money
costs = st.floats(1e-6, 5e-2)
curvatures = st.floats(1e-3, 20.0)
aversions = st.floats(0.05, 2000.0)
times = st.floats(1 / 8760, 2.0)
volatilities = st.floats(0.05, 4.0)


def tensor(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def whalley_wilmott(cost: float, curvature: float, aversion: float) -> float:
    return float(bands.whalley_wilmott(tensor(cost), tensor(curvature), aversion))


def half_width(cost: float, curvature: float, aversion: float, time: float, volatility: float) -> float:
    return float(
        bands.zakamouline_half_width(tensor(cost), tensor(curvature), aversion, tensor(time), tensor(volatility))
    )


def stretch(cost: float, curvature: float, aversion: float, time: float, volatility: float) -> float:
    return float(bands.zakamouline_stretch(tensor(cost), tensor(curvature), aversion, tensor(time), tensor(volatility)))


def test_golden_values() -> None:
    """research/papers.md §6 (δ = 0.5, Γ = 0.02): H0 = 1.0e-5, H1 = 0.020944, Whalley-Wilmott 0.11447.

    There risk aversion is per unit of money and gamma per unit of price; here they are times, and over, the spot.
    """
    curvature, aversion = SPOT * GAMMA, AVERSION * SPOT
    assert whalley_wilmott(COST, curvature, aversion) == pytest.approx(0.11447, abs=5e-6)
    assert half_width(COST, 0.0, aversion, TIME, VOLATILITY) == pytest.approx(1.0e-5, rel=1e-12)
    assert half_width(COST, curvature, aversion, TIME, VOLATILITY) - 1e-5 == pytest.approx(0.020944, abs=5e-7)


def test_the_stretch_of_volatilities_is_sinclairs() -> None:
    """At the same point, by logarithms: λ^0.78 = 0.002663, τ^−0.02 = 1.0281, σ^−0.25 = 1.4953, (γS²Γ)^0.15 = 7.159.

    Above 1 where gamma is short, and as far below where it is long.
    """
    correction = 5.76 * 0.002663 * 1.0281 * 1.4953 * 7.159
    short, long = (stretch(COST, sign * SPOT * GAMMA, AVERSION * SPOT, TIME, VOLATILITY) for sign in (-1, 1))
    assert short == pytest.approx(math.sqrt(1 + correction), rel=2e-4)
    assert long == pytest.approx(math.sqrt(1 - correction), rel=2e-4)
    assert VOLATILITY * short == pytest.approx(0.21622, abs=1e-5)


@given(cost=costs, curvature=curvatures, aversion=aversions, time=times, volatility=volatilities)
def test_a_long_gammas_stretch_is_real_and_below_one(
    cost: float, curvature: float, aversion: float, time: float, volatility: float
) -> None:
    """1 ∓ K: the squares of both stretches lie as far from 1, until the long one meets its bound."""
    short = stretch(cost, -curvature, aversion, time, volatility)
    long = stretch(cost, curvature, aversion, time, volatility)
    assert bands.LEAST_STRETCH * (1 - 1e-12) <= long < 1
    if long > bands.LEAST_STRETCH * (1 + 1e-9):
        assert short**2 + long**2 == pytest.approx(2, rel=1e-9)


@given(cost=costs, curvature=curvatures, aversion=aversions)
def test_whalley_wilmott_grows_with_the_cube_root_of_cost(cost: float, curvature: float, aversion: float) -> None:
    width = whalley_wilmott(cost, curvature, aversion)
    assert whalley_wilmott(8 * cost, curvature, aversion) == pytest.approx(2 * width, rel=1e-12)
    assert whalley_wilmott(cost, curvature, 8 * aversion) == pytest.approx(width / 2, rel=1e-12)
    assert whalley_wilmott(cost, 8 * curvature, aversion) == pytest.approx(4 * width, rel=1e-12)
    assert whalley_wilmott(cost, -curvature, aversion) == pytest.approx(width, rel=1e-12)


@given(cost=costs, curvature=curvatures, aversion=aversions, time=times, volatility=volatilities)
def test_zakamoulines_two_terms_scale_as_printed(
    cost: float, curvature: float, aversion: float, time: float, volatility: float
) -> None:
    base = half_width(cost, 0.0, aversion, time, volatility)
    for other in ((2 * cost, 0.0, 2 * aversion, time, volatility), (cost, 0.0, aversion / 4, time, 2 * volatility)):
        assert half_width(*other) == pytest.approx(base, rel=1e-12)
    assert half_width(cost, 0.0, aversion / 2, 2 * time, volatility) == pytest.approx(base, rel=1e-12)

    def hedge(*point: float) -> float:
        return half_width(*point) - half_width(point[0], 0.0, *point[2:])

    term = hedge(cost, curvature, aversion, time, volatility)
    near = {"rel": 1e-6, "abs": 1e-12 + 1e-14 * base}
    assert hedge(2 * cost, curvature, aversion, time, volatility) == pytest.approx(2**0.31 * term, **near)
    assert hedge(cost, 4 * curvature, aversion, time, volatility) == pytest.approx(2 * term, **near)
    assert hedge(cost, -curvature, aversion, time, volatility) == pytest.approx(term, **near)
    assert hedge(cost, curvature, aversion / 4, time, volatility) == pytest.approx(2 * term, rel=1e-6, abs=4e-12 * base)
    assert hedge(cost, curvature, aversion, 2 * time, volatility) == pytest.approx(2**0.05 * term, **near)
    assert hedge(cost, curvature, aversion, time, 2 * volatility) == pytest.approx(2**-0.25 * term, **near)


@given(cost=costs, curvature=curvatures, aversion=aversions, time=times, volatility=volatilities)
def test_bands_widen_with_cost_and_narrow_with_risk_aversion(
    cost: float, curvature: float, aversion: float, time: float, volatility: float
) -> None:
    zakamouline = half_width(cost, curvature, aversion, time, volatility)
    whalley = whalley_wilmott(cost, curvature, aversion)
    assert 0 < zakamouline < half_width(1.1 * cost, curvature, aversion, time, volatility)
    assert half_width(cost, curvature, 1.1 * aversion, time, volatility) < zakamouline
    assert 0 < whalley < whalley_wilmott(1.1 * cost, curvature, aversion)
    assert whalley_wilmott(cost, curvature, 1.1 * aversion) < whalley


@given(cost=costs, aversion=aversions, time=times, volatility=volatilities)
def test_only_whalley_wilmotts_band_closes_where_gamma_vanishes(
    cost: float, aversion: float, time: float, volatility: float
) -> None:
    assert whalley_wilmott(cost, 0.0, aversion) == 0
    assert half_width(cost, 0.0, aversion, time, volatility) > 0
    assert stretch(cost, 0.0, aversion, time, volatility) == 1


@given(cost=costs, curvature=curvatures, aversion=aversions, time=times, volatility=volatilities)
def test_a_short_option_is_hedged_at_a_higher_volatility_the_dearer_the_trade(
    cost: float, curvature: float, aversion: float, time: float, volatility: float
) -> None:
    once = stretch(cost, -curvature, aversion, time, volatility)
    assert once > 1
    assert stretch(2 * cost, -curvature, aversion, time, volatility) > once
    assert stretch(cost, -curvature, 2 * aversion, time, volatility) > once


def test_free_trades_need_no_band() -> None:
    """Both widths and the correction of the volatility vanish with the cost."""
    assert whalley_wilmott(0.0, 2.0, 10.0) == 0
    assert half_width(0.0, 2.0, 10.0, TIME, VOLATILITY) == 0
    assert stretch(0.0, -2.0, 10.0, TIME, VOLATILITY) == 1
