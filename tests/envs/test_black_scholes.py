"""Black and Scholes against QuantLib, its own limits, finite differences and no-arbitrage."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import QuantLib
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from envs.pricing import black_scholes
from envs.pricing.black_scholes import call_delta, call_price, d1, gamma

ULP = 2.3e-16  # spacing of float64 at 1
EACH = [call_price, call_delta, gamma]
spots = st.floats(0.05, 20.0)  # per unit of strike
times = st.floats(1e-4, 3.0)
volatilities = st.floats(0.02, 4.0)


def double(*values: float) -> list[Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


@pytest.fixture(scope="module")
def grid() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """12,000 (spot, strike, time, volatility): log-moneyness ±1.5, an hour to two years, 10 to 250 % a year."""
    moneyness = np.linspace(-1.5, 1.5, 30)
    time = np.geomspace(1 / 8760, 2.0, 20)
    volatility = np.geomspace(0.1, 2.5, 20)
    axes = np.meshgrid(moneyness, time, volatility, indexing="ij")
    m, t, v = (torch.from_numpy(axis.ravel()) for axis in axes)
    return 40_000.0 * m.exp(), torch.full_like(m, 40_000.0), t, v


@pytest.fixture(scope="module")
def oracle(grid: tuple[Tensor, ...]) -> Tensor:
    """(N, 3) QuantLib's price, delta and gamma of undiscounted calls on the forward."""
    rows = []
    for spot, strike, time, volatility in torch.stack(grid, -1).tolist():
        payoff = QuantLib.PlainVanillaPayoff(QuantLib.Option.Call, strike)
        judge = QuantLib.BlackCalculator(payoff, spot, volatility * math.sqrt(time), 1.0)
        rows.append((judge.value(), judge.deltaForward(), judge.gammaForward()))
    return torch.tensor(rows, dtype=torch.float64)


def test_price_is_quantlibs(grid: tuple[Tensor, ...], oracle: Tensor) -> None:
    """To 1e-10 where the price is a thousandth of the spot or more; below, to the rounding of S·N(d1) − K·N(d2)."""
    found, price, spot = call_price(*grid), oracle[:, 0], grid[0]
    meaningful = price > 1e-3 * spot
    assert len(found) >= 10_000
    assert meaningful.sum() > 4_000
    assert ((found / price)[meaningful] - 1).abs().max() < 1e-10
    assert ((found - price) / (spot + grid[1])).abs().max() < 40 * ULP


def test_delta_is_quantlibs(grid: tuple[Tensor, ...], oracle: Tensor) -> None:
    found, delta = call_delta(*grid), oracle[:, 1]
    meaningful = delta > 1e-3
    assert meaningful.sum() > 4_000
    assert ((found / delta)[meaningful] - 1).abs().max() < 1e-10
    assert (found - delta).abs().max() < 1e-13


def test_gamma_is_quantlibs(grid: tuple[Tensor, ...], oracle: Tensor) -> None:
    """In the tails too, as far as n(d1) is above 1e-8 of its peak."""
    found, expected = gamma(*grid), oracle[:, 2]
    meaningful = d1(*grid).abs() < 6
    assert meaningful.sum() > 4_000
    assert ((found / expected)[meaningful] - 1).abs().max() < 1e-10
    assert (grid[0] * (found - expected)).abs().max() < 1e-9


def test_derivatives_are_finite_differences() -> None:
    generator = torch.Generator().manual_seed(11)
    uniform = torch.rand(4, 500, generator=generator, dtype=torch.float64)
    spot, strike = 50 + 100 * uniform[0], 80 + 40 * uniform[1]
    time, volatility = 0.02 + uniform[2], 0.3 + uniform[3]
    bump = 1e-4 * spot

    def at(change: Tensor, function: Callable[..., Tensor] = call_price) -> Tensor:
        return function(spot + change, strike, time, volatility)

    slope = (at(bump) - at(-bump)) / (2 * bump)
    curvature = (at(bump, call_delta) - at(-bump, call_delta)) / (2 * bump)
    assert (slope - at(torch.zeros_like(bump), call_delta)).abs().max() < 1e-6
    assert (spot * (curvature - at(torch.zeros_like(bump), gamma))).abs().max() < 1e-5


def test_gradient_of_price_is_delta() -> None:
    spot = torch.tensor([60.0, 100.0, 170.0], dtype=torch.float64, requires_grad=True)
    strike, time, volatility = double(100.0, 0.1, 0.8)
    call_price(spot, strike, time, volatility).sum().backward()  # type: ignore[no-untyped-call]
    assert spot.grad is not None
    assert spot.grad.tolist() == pytest.approx(call_delta(spot, strike, time, volatility).tolist(), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("time", "volatility"), [(0.0, 0.7), (0.3, 0.0), (0.0, 0.0)])
def test_without_time_or_volatility_the_call_is_its_payoff(dtype: torch.dtype, time: float, volatility: float) -> None:
    spot = torch.tensor([80.0, 100.0, 125.0], dtype=dtype)
    rest = [torch.tensor(value, dtype=dtype) for value in (100.0, time, volatility)]
    assert call_price(spot, *rest).tolist() == [0.0, 0.0, 25.0]
    assert call_delta(spot, *rest).tolist() == [0.0, 0.5, 1.0]
    assert gamma(spot, *rest).tolist() == [0.0, 0.0, 0.0]


def test_limits_far_from_the_strike() -> None:
    strike, time, volatility = double(100.0, 0.25, 0.8)
    low, high = double(1e-8, 1e12)
    assert float(call_price(low, strike, time, volatility)) == pytest.approx(0.0, abs=1e-20)
    assert float(call_delta(low, strike, time, volatility)) == pytest.approx(0.0, abs=1e-20)
    assert float(call_price(high, strike, time, volatility)) == pytest.approx(1e12 - 100, rel=1e-15)
    assert float(call_delta(high, strike, time, volatility)) == 1.0
    assert float(low * gamma(low, strike, time, volatility)) == pytest.approx(0.0, abs=1e-20)
    assert float(high * gamma(high, strike, time, volatility)) == pytest.approx(0.0, abs=1e-20)


def test_arguments_broadcast() -> None:
    spot, volatility = torch.linspace(80, 120, 5).double()[:, None], torch.linspace(0.2, 1.0, 3).double()
    strike, time = double(100.0, 0.1)
    for function in EACH:
        table = function(spot, strike, time, volatility)
        assert table.shape == (5, 3)
        assert float(table[4, 1]) == float(function(spot[4, 0], strike, time, volatility[1]))


def test_ndtr_is_the_normal_distribution_function() -> None:
    x = torch.linspace(-8, 8, 201, dtype=torch.float64)
    exact = [0.5 * math.erfc(-value / math.sqrt(2)) for value in x.tolist()]
    assert black_scholes.ndtr(x).tolist() == pytest.approx(exact, rel=1e-12)


@given(spot=spots, time=times, volatility=volatilities, currency=st.floats(1e-6, 1e6))
def test_another_currency_changes_only_the_unit(spot: float, time: float, volatility: float, currency: float) -> None:
    one = double(spot, 1.0, time, volatility)
    other = double(spot * currency, currency, time, volatility)
    assert float(call_price(*other)) / currency == pytest.approx(float(call_price(*one)), rel=1e-9, abs=1e-13)
    assert float(call_delta(*other)) == pytest.approx(float(call_delta(*one)), rel=1e-9, abs=1e-13)
    assert float(gamma(*other)) * currency == pytest.approx(float(gamma(*one)), rel=1e-9, abs=1e-13)


@given(spot=spots, time=times, volatility=volatilities)
def test_price_stands_within_its_bounds_of_no_arbitrage(spot: float, time: float, volatility: float) -> None:
    arguments = double(spot, 1.0, time, volatility)
    rounding = 20 * ULP * (1 + spot)
    assert max(0.0, spot - 1) - rounding <= float(call_price(*arguments)) <= spot + rounding
    assert 0 <= float(call_delta(*arguments)) <= 1
    assert float(gamma(*arguments)) >= 0


@given(spot=spots, time=times, volatility=volatilities, step=st.floats(1e-3, 1.0))
def test_price_rises_with_spot_time_and_volatility_and_falls_with_the_strike(
    spot: float, time: float, volatility: float, step: float
) -> None:
    base = float(call_price(*double(spot, 1.0, time, volatility)))
    rounding = 20 * ULP * (2 + spot)
    for other in ((spot + step, 1.0, time, volatility), (spot, 1.0, time + step, volatility)):
        assert float(call_price(*double(*other))) >= base - rounding
    assert float(call_price(*double(spot, 1.0, time, volatility + step))) >= base - rounding
    assert float(call_price(*double(spot, 1 + step, time, volatility))) <= base + rounding
    assert float(call_delta(*double(spot + step, 1.0, time, volatility))) >= float(
        call_delta(*double(spot, 1.0, time, volatility))
    ) * (1 - 1e-12)


@given(moneyness=st.floats(-0.05, 0.05), time=st.floats(0.02, 1.0), volatility=st.floats(0.3, 1.5))
def test_near_the_money_price_strictly_rises(moneyness: float, time: float, volatility: float) -> None:
    """Where vega and theta are far above rounding."""
    spot = math.exp(moneyness)
    base = float(call_price(*double(spot, 1.0, time, volatility)))
    assert float(call_price(*double(spot, 1.0, time, volatility * 1.01))) > base + 1e-5
    assert float(call_price(*double(spot, 1.0, time * 1.01, volatility))) > base + 1e-5
    assert float(call_price(*double(spot * 1.01, 1.0, time, volatility))) > base + 1e-3
