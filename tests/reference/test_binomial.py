"""The Leisen–Reimer tree against QuantLib's, Black and Scholes, the perpetual American put, and its own limits."""

from __future__ import annotations

import math
from dataclasses import fields
from itertools import pairwise

import pytest
import QuantLib
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from envs.pricing import binomial, black_scholes
from envs.types import BadInput

STEPS = 101
DAYS = (73, 219, 365, 730)


def double(*values: float) -> list[Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


@pytest.fixture(scope="module")
def book() -> tuple[Tensor, ...]:
    """160 puts and calls: spot 50 to 150 at strike 100, volatility 10 to 120 %, rate and yield to 10 %."""
    uniform = torch.rand(5, 160, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    days = torch.tensor(DAYS, dtype=torch.float64).repeat(40)
    rate, dividend = 0.1 * uniform[2], 0.1 * uniform[3]
    spot, volatility = 50 + 100 * uniform[0], 0.1 + 1.1 * uniform[1]
    return spot, torch.full_like(spot, 100.0), days / 365, volatility, uniform[4] > 0.5, rate, rate - dividend


def quantlib(book: tuple[Tensor, ...], american: bool) -> Tensor:
    """(N, 4): value, delta, gamma, theta of QuantLib's tree with as many steps."""
    today = QuantLib.Date(1, 1, 2024)
    QuantLib.Settings.instance().evaluationDate = today
    count, rows = QuantLib.Actual365Fixed(), []
    for spot, strike, time, volatility, call, rate, carry in zip(*(axis.tolist() for axis in book), strict=True):
        curves = [
            QuantLib.YieldTermStructureHandle(QuantLib.FlatForward(today, each, count)) for each in (rate - carry, rate)
        ]
        smile = QuantLib.BlackConstantVol(today, QuantLib.NullCalendar(), volatility, count)
        process = QuantLib.BlackScholesMertonProcess(
            QuantLib.QuoteHandle(QuantLib.SimpleQuote(spot)), *curves, QuantLib.BlackVolTermStructureHandle(smile)
        )
        expiry = today + round(time * 365)
        exercise = QuantLib.AmericanExercise(today, expiry) if american else QuantLib.EuropeanExercise(expiry)
        side = QuantLib.Option.Call if call else QuantLib.Option.Put
        option = QuantLib.VanillaOption(QuantLib.PlainVanillaPayoff(side, strike), exercise)
        option.setPricingEngine(QuantLib.BinomialLRVanillaEngine(process, STEPS))
        rows.append((option.NPV(), option.delta(), option.gamma(), option.theta()))
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("american", [False, True])
def test_values_and_greeks_are_those_of_quantlibs_tree(book: tuple[Tensor, ...], american: bool) -> None:
    """To 1e-9 of the strike.

    QuantLib's own drift is a numerical derivative of the discount factors, 1e-11 off; it takes theta from the
    differential equation even where exercise is due, and there ours is 0. For some maturities, 702 days one of them,
    its American tree forgets the payoff at expiry (a rounding of its time grid): the test keeps to four of the others.
    """
    found, expected = binomial.greeks(*book, american=american, steps=STEPS), quantlib(book, american)
    for column, name in enumerate(("value", "delta", "gamma")):
        assert (getattr(found, name) - expected[:, column]).abs().max() < 1e-9 * 100, name
    held = found.theta != 0
    assert held.sum() > 120
    assert (held.all()) != american
    assert (found.theta - expected[:, 3]).abs()[held].max() < 1e-7


def test_european_prices_converge_to_black_scholes_as_one_over_steps_squared(book: tuple[Tensor, ...]) -> None:
    exact = black_scholes.price(*book)
    errors = [(binomial.price(*book, american=False, steps=n) - exact).abs().max() for n in (51, 101, 201)]
    assert errors[2] < 1e-4
    for coarse, fine in pairwise(errors):
        assert 3.5 < coarse / fine < 4.5


def test_european_greeks_converge_to_black_scholes(book: tuple[Tensor, ...]) -> None:
    """Delta, gamma and theta are read one and two steps into the tree: errors of order 1/steps. Vega is the price's."""
    exact = black_scholes.greeks(*book)
    coarse, fine = (binomial.greeks(*book, american=False, steps=n) for n in (51, 201))
    for name in ("delta", "gamma", "vega", "theta"):
        errors = [(getattr(each, name) - getattr(exact, name)).abs().max() for each in (coarse, fine)]
        assert 3 < errors[0] / errors[1] < 17, name
    assert (fine.vega - exact.vega).abs().max() < 5e-4


def test_an_american_vega_is_the_slope_of_the_price(book: tuple[Tensor, ...]) -> None:
    """To a hundredth, where holding is worth a ten-thousandth of the strike more than exercise.

    A chord over 1e-4 either way crosses kinks, where a node of the tree turns to exercise, the largest near its root.
    """
    spot, strike, time, volatility, call, *rates = book
    h = 1e-4
    up, down = (binomial.price(spot, strike, time, volatility + e, call, *rates, steps=51) for e in (h, -h))
    found = binomial.greeks(*book, steps=51)
    held = found.value - (2 * call.double() - 1) * (spot - strike) > 0.01
    assert held.sum() > 120
    assert ((up - down) / (2 * h) - found.vega)[held].abs().max() < 0.01 * found.vega.max()


def test_an_american_put_is_worth_its_published_value() -> None:
    """Hull, Options, Futures, and Other Derivatives, 9th ed., §21.1: 4.278 with 100 steps, 4.283 with 500.

    S = K = 50, rate 10 %, volatility 40 %, five months; that tree's error falls as 1/steps, so 500 leave about 0.001.
    """
    spot, time, volatility = double(50.0, 5 / 12, 0.4)
    assert abs(float(binomial.price(spot, spot, time, volatility, False, 0.1, 0.1, steps=501)) - 4.283) <= 2e-3


def test_a_long_american_put_nears_mertons_perpetual() -> None:
    """(K − S*)·(S/S*)^−k, k = 2r/σ², S* = K·k/(1 + k): Merton (1973), Bell Journal of Economics 4, 141, eq. 52."""
    k = 2 * 0.1 / 0.4**2
    boundary = 100 * k / (1 + k)
    expected = (100 - boundary) * (110 / boundary) ** -k
    found = binomial.price(*double(110.0, 100.0, 100.0, 0.4), False, 0.1, 0.1, steps=2001)
    assert float(found) == pytest.approx(expected, rel=2e-3)


def test_early_exercise(book: tuple[Tensor, ...]) -> None:
    """Worth nothing for calls when the forward rises at the rate, or for puts without a rate; never below nothing."""
    spot, strike, time, volatility, *_ = book
    for call, rate, carry in ((True, 0.05, 0.05), (False, 0.0, 0.0), (True, 0.0, 0.0)):
        pair = [binomial.price(spot, strike, time, volatility, call, rate, carry, a, 51) for a in (True, False)]
        assert (pair[0] - pair[1]).abs().max() < 1e-11
    american, european = (binomial.price(*book, american=a, steps=51) for a in (True, False))
    intrinsic = ((2 * book[4].double() - 1) * (spot - strike)).clamp(min=0)
    assert (american - torch.maximum(european, intrinsic)).min() > -1e-11
    assert (american - european).max() > 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("american", [True, False])
@pytest.mark.parametrize("call", [True, False])
@pytest.mark.parametrize(
    ("time", "volatility"), [(0.0, 0.5), (0.1, 0.0), (0.0, 0.0), (1e-7, 0.1), (0.1, 1e-7), (1.0, 5.0)]
)
def test_every_corner_is_finite(dtype: torch.dtype, american: bool, call: bool, time: float, volatility: float) -> None:
    spot = torch.tensor([1e-20, 1.0, 80.0, 100.0, 125.0, 1e9], dtype=dtype)
    rest = [torch.tensor(value, dtype=dtype) for value in (100.0, time, volatility)]
    found = binomial.greeks(spot, *rest, call, 0.05, 0.02, american, 51)
    for field in fields(found):
        assert getattr(found, field.name).isfinite().all(), field.name
    if time * volatility == 0:
        forward = spot * math.exp(0.02 * time) - 100 if not american else spot - 100
        kept = math.exp(-0.05 * time) if not american else 1.0
        floor = (forward if call else -forward).clamp(min=0) * kept
        assert (found.value - floor >= -1e-6 * (spot + 100)).all()
        assert american or torch.allclose(found.value, floor, rtol=1e-4, atol=1e-5)


@given(spot=st.floats(0.3, 3.0), volatility=st.floats(0.05, 2.0), rate=st.floats(0, 0.2), scale=st.floats(1e-3, 1e3))
def test_another_currency_changes_only_the_unit(spot: float, volatility: float, rate: float, scale: float) -> None:
    one = binomial.greeks(*double(spot, 1.0, 0.5, volatility), False, rate, rate, steps=21)
    other = binomial.greeks(*double(spot * scale, scale, 0.5, volatility), False, rate, rate, steps=21)
    assert float(other.value) / scale == pytest.approx(float(one.value), rel=1e-9, abs=1e-12)
    assert float(other.delta) == pytest.approx(float(one.delta), rel=1e-7, abs=1e-9)
    assert float(other.gamma) * scale == pytest.approx(float(one.gamma), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("steps", [1, 100, -5])
def test_even_or_too_few_steps_are_bad_input(steps: int) -> None:
    with pytest.raises(BadInput, match="odd number of steps"):
        binomial.price(*double(100.0, 100.0, 1.0, 0.5), steps=steps)
