"""Heston's prices against QuantLib, Black and Scholes, and no-arbitrage."""

from __future__ import annotations

import math

import numpy as np
import pytest
import QuantLib
import torch
from torch import Tensor

from envs.pricing import black_scholes, heston


@pytest.fixture(scope="module")
def book() -> tuple[Tensor, ...]:
    """300 (spot, strike, time, variance, reversion, long variance, volatility of variance, correlation).

    A day to two years, volatilities 14 to 120 %, strikes to four deviations, many that break Feller's condition.
    """
    random = np.random.default_rng(0)
    days = np.rint(np.exp(random.uniform(0, math.log(730), 300)))
    variance, long = random.uniform(0.02, 1.5, 300), random.uniform(0.02, 1.0, 300)
    reversion, volatility, rho = (random.uniform(*ends, 300) for ends in ((0.3, 8), (0.05, 3), (-0.9, 0.9)))
    spread = np.sqrt((variance + long) / 2 * days / 365)
    strike = 100 * np.exp(random.uniform(-4, 4, 300) * spread)
    columns = (np.full(300, 100.0), strike, days / 365, variance, reversion, long, volatility, rho)
    return tuple(torch.from_numpy(column) for column in columns)


@pytest.fixture(scope="module")
def oracle(book: tuple[Tensor, ...]) -> Tensor:
    today = QuantLib.Date(1, 1, 2024)
    QuantLib.Settings.instance().evaluationDate = today
    flat = QuantLib.YieldTermStructureHandle(QuantLib.FlatForward(today, 0.0, QuantLib.Actual365Fixed()))
    values = []
    for spot, strike, time, *parameters in zip(*(axis.tolist() for axis in book), strict=True):
        quote = QuantLib.QuoteHandle(QuantLib.SimpleQuote(spot))
        model = QuantLib.HestonModel(QuantLib.HestonProcess(flat, flat, quote, *parameters))
        payoff = QuantLib.PlainVanillaPayoff(QuantLib.Option.Call, strike)
        option = QuantLib.VanillaOption(payoff, QuantLib.EuropeanExercise(today + round(time * 365)))
        option.setPricingEngine(QuantLib.AnalyticHestonEngine(model, 1e-11, 1_000_000))
        values.append(option.NPV())
    return torch.tensor(values, dtype=torch.float64)


def test_prices_are_quantlibs(book: tuple[Tensor, ...], oracle: Tensor) -> None:
    assert ((heston.price(*book) - oracle).abs() / book[0]).max() < 1e-10


def test_float32_keeps_six_digits_of_the_spot(book: tuple[Tensor, ...], oracle: Tensor) -> None:
    found = heston.price(*(each.float() for each in book)).double()
    assert ((found - oracle).abs() / (book[0] + book[1])).max() < 8 * 1.2e-7


def test_put_call_parity(book: tuple[Tensor, ...]) -> None:
    gap = heston.price(*book) - heston.price(*book, False) - (book[0] - book[1])
    assert (gap.abs() / (book[0] + book[1])).max() < 1e-14


def test_without_volatility_of_variance_it_is_black_and_scholes(book: tuple[Tensor, ...]) -> None:
    """At the mean of the variance's deterministic path; ξ is floored at √ε, which moves the price by as much."""
    spot, strike, time, variance, reversion, long, volatility, rho = book
    found = heston.price(spot, strike, time, variance, reversion, long, torch.zeros_like(volatility), rho)
    mean = heston.expected_variance(time, variance, reversion, long)
    assert ((found - black_scholes.price(spot, strike, time, mean.sqrt())).abs() / spot).max() < 1e-8


def test_mean_of_the_variance_path_is_its_integral() -> None:
    """Against the trapezium of θ + (v − θ)e^{−κs}; and v itself without reversion."""
    numbers = (torch.tensor(value, dtype=torch.float64) for value in (0.7, 0.9, 3.0, 0.2))
    time, variance, reversion, long = numbers
    path = long + (variance - long) * torch.exp(-reversion * torch.linspace(0, 0.7, 10_001, dtype=torch.float64))
    expected = float(torch.trapezoid(path, dx=0.7 / 10_000)) / 0.7
    assert float(heston.expected_variance(time, variance, reversion, long)) == pytest.approx(expected, rel=1e-8)
    still = heston.expected_variance(time, variance, torch.zeros_like(time), long)
    assert float(still) == pytest.approx(0.9, rel=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_limits_are_finite(dtype: torch.dtype) -> None:
    """No time, no variance at all, no reversion."""
    spot = torch.tensor([60.0, 100.0, 150.0], dtype=dtype)
    strike, time, variance, reversion, long, volatility, rho, nothing = (
        torch.tensor(value, dtype=dtype) for value in (100.0, 0.1, 0.5, 2.0, 0.4, 1.0, -0.5, 0.0)
    )
    payoff = (spot - strike).clamp(min=0)
    assert torch.equal(heston.price(spot, strike, nothing, variance, reversion, long, volatility, rho), payoff)
    still = heston.price(spot, strike, time, nothing, reversion, nothing, volatility, rho)
    assert torch.allclose(still, payoff, atol=1e-2)
    free = heston.price(spot, strike, time, variance, nothing, long, volatility, rho)
    assert free.isfinite().all()
    assert (free > payoff).all()


def test_price_falls_and_is_convex_in_the_strike() -> None:
    strike = torch.linspace(50, 200, 151, dtype=torch.float64)
    rest = (torch.tensor(value, dtype=torch.float64) for value in (0.2, 0.6, 3.0, 0.5, 2.0, -0.4))
    found = heston.price(torch.tensor(100.0, dtype=torch.float64), strike, *rest)
    assert (found.diff() < 0).all()
    assert (found.diff() > -1).all()
    assert (found.diff().diff() > -1e-9).all()
