"""Black–Scholes–Merton against QuantLib on a grid, 60-digit arithmetic in the wings, and published values."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import QuantLib
import torch
from torch import Tensor

from envs.pricing import black_scholes as bs

RATES = [(0.0, 0.0), (0.05, 0.0), (0.08, 0.08), (0.1, -0.03)]  # (rate, carry)


@pytest.fixture(scope="module")
def grid() -> tuple[Tensor, ...]:
    """11,520 (spot, strike, time, volatility, call, rate, carry), the strike within three deviations of the forward:

    an hour to three years, σ√τ .01 to 2. Further out QuantLib's distribution function has too few digits to judge.
    """
    axes = (np.linspace(-3, 3, 12), np.geomspace(0.01, 2, 12), np.geomspace(1 / 8760, 3, 10), np.arange(4), (0.0, 1.0))
    z, deviation, time, index, call = (torch.from_numpy(a.ravel()) for a in np.meshgrid(*axes, indexing="ij"))
    rate, carry = torch.tensor(RATES, dtype=torch.float64)[index].unbind(-1)
    spot = torch.full_like(z, 40_000.0)
    strike = spot * torch.exp(carry * time - z * deviation)
    return spot, strike, time, deviation / time.sqrt(), call > 0, rate, carry


@pytest.fixture(scope="module")
def oracle(grid: tuple[Tensor, ...]) -> Tensor:
    """(N, 5): QuantLib's value, delta, gamma, vega, theta."""
    rows = []
    for spot, strike, time, volatility, call, rate, carry in zip(*(axis.tolist() for axis in grid), strict=True):
        payoff = QuantLib.PlainVanillaPayoff(QuantLib.Option.Call if call else QuantLib.Option.Put, strike)
        judge = QuantLib.BlackCalculator(
            payoff, spot * math.exp(carry * time), volatility * math.sqrt(time), math.exp(-rate * time)
        )
        rows.append((judge.value(), judge.delta(spot), judge.gamma(spot), judge.vega(time), judge.theta(spot, time)))
    return torch.tensor(rows, dtype=torch.float64)


def test_price_delta_gamma_and_vega_are_quantlibs_to_1e_10(grid: tuple[Tensor, ...], oracle: Tensor) -> None:
    found = bs.greeks(*grid)
    assert len(oracle) >= 10_000
    for column, name in enumerate(("value", "delta", "gamma", "vega")):
        assert (getattr(found, name) / oracle[:, column] - 1).abs().max() < 1e-10, name


def test_theta_is_quantlibs(grid: tuple[Tensor, ...], oracle: Tensor) -> None:
    """Relative to the largest of its three terms, which may cancel."""
    found = bs.greeks(*grid)
    spot, _, _, volatility, _, rate, carry = grid
    terms = torch.stack(
        ((spot * volatility).square() * found.gamma / 2, rate * found.value, (carry * spot * found.delta).abs())
    )
    assert ((found.theta - oracle[:, 4]).abs() / terms.amax(0)).max() < 1e-10


def test_each_function_is_its_field_of_the_greeks(grid: tuple[Tensor, ...]) -> None:
    spot, strike, time, volatility, _, rate, carry = grid
    both = bs.greeks(*grid)
    for name in ("price", "delta", "theta"):
        single = getattr(bs, name)(*grid)
        assert torch.allclose(single, getattr(both, "value" if name == "price" else name), rtol=1e-13, atol=1e-9)
    for name in ("gamma", "vega"):
        assert torch.allclose(
            getattr(bs, name)(spot, strike, time, volatility, rate, carry), getattr(both, name), rtol=1e-13, atol=0
        )


def exact(x: float, deviation: float) -> tuple[float, float, float, float]:
    """Value, delta, vanna·σ and volga·σ²  of a call on a forward of e^x at strike 1 and τ = 1, from 60 digits."""
    x, s = mpmath.mpf(x), mpmath.mpf(deviation)
    d1 = x / s + s / 2
    d2 = d1 - s
    n = mpmath.npdf(d1)
    value = mpmath.e**x * mpmath.ncdf(d1) - mpmath.ncdf(d2)
    return float(value), float(mpmath.ncdf(d1)), float(-n * d2), float(mpmath.e**x * n * d1 * d2 * s)


def test_the_wings_hold_ten_digits_down_to_1e_290() -> None:
    """Options up to 36 deviations z out of the money, where rounding, ε·z³/σ√τ, leaves ten digits.

    e^{−z²/2} makes z²ε of the rounding of d1, and S·N(d1) − K·N(d2) z/σ√τ of that.
    """
    pairs = [(z, s) for s in (0.02, 0.1, 0.5, 1.5) for z in (0.5, 2, 4, 6, 9, 14, 20, 28, 36)]
    cases = [(-z * s, s) for z, s in pairs if z**3 / s < 4e5]
    with mpmath.workdps(60):
        expected = torch.tensor([exact(*case) for case in cases], dtype=torch.float64)
    x, deviation = torch.tensor(cases, dtype=torch.float64).unbind(-1)
    one = torch.ones_like(x)
    at = (x.exp(), one, one, deviation)
    found = (bs.price(*at), bs.delta(*at), bs.vanna(*at) * deviation, bs.volga(*at) * deviation.square())
    assert expected[:, 0].min() < 1e-280
    for column, values in enumerate(found):
        assert (values / expected[:, column] - 1).abs().max() < 1e-10, column
    mirrored = bs.price(
        one, x.exp(), one, deviation, False
    )  # the put on 1 struck at e^x is the call on e^x struck at 1
    assert (mirrored / expected[:, 0] - 1).abs().max() < 1e-10


# Haug, The Complete Guide to Option Pricing Formulas, 2nd ed. (2007), examples of §1.1.1–1.1.5 (pp. 2–7) and chapter 2;
# Hull, Options, Futures, and Other Derivatives, 9th ed., example 15.6 (p. 338).
PUBLISHED = [
    ("value", (60, 65, 0.25, 0.30, True, 0.08, 0.08), 2.1334, 5e-5),
    ("value", (100, 95, 0.5, 0.20, False, 0.10, 0.05), 2.4648, 5e-5),
    ("value", (19, 19, 0.75, 0.28, True, 0.10, 0.0), 1.7011, 5e-5),
    ("value", (19, 19, 0.75, 0.28, False, 0.10, 0.0), 1.7011, 5e-5),
    ("value", (1.56, 1.6, 0.5, 0.12, True, 0.06, -0.02), 0.0291, 5e-5),
    ("value", (42, 40, 0.5, 0.20, True, 0.10, 0.10), 4.76, 5e-3),
    ("value", (42, 40, 0.5, 0.20, False, 0.10, 0.10), 0.81, 5e-3),
    ("delta", (105, 100, 0.5, 0.36, True, 0.10, 0.0), 0.5946, 5e-5),
    ("delta", (105, 100, 0.5, 0.36, False, 0.10, 0.0), -0.3566, 5e-5),
    ("gamma", (55, 60, 0.75, 0.30, True, 0.10, 0.10), 0.0278, 5e-5),
    ("vega", (55, 60, 0.75, 0.30, True, 0.105, 0.0695), 18.5027, 5e-5),
    ("theta", (430, 405, 0.0833, 0.20, False, 0.07, 0.02), -31.1924, 5e-5),
]


@pytest.mark.parametrize(("name", "at", "value", "rounding"), PUBLISHED)
def test_published_values(name: str, at: tuple[float, ...], value: float, rounding: float) -> None:
    spot, strike, time, volatility = (torch.tensor(float(x), dtype=torch.float64) for x in at[:4])
    found = bs.greeks(spot, strike, time, volatility, *at[4:])
    assert abs(float(getattr(found, name)) - value) <= rounding


def test_published_vanna_and_volga() -> None:
    """Haug, chapter 2: DdeltaDvol and vomma."""
    first = [torch.tensor(x, dtype=torch.float64) for x in (90.0, 80.0, 0.25, 0.20)]
    second = [torch.tensor(x, dtype=torch.float64) for x in (90.0, 130.0, 0.75, 0.28)]
    assert abs(float(bs.vanna(*first, 0.05, 0.05)) + 1.0008) <= 5e-5
    assert abs(float(bs.volga(*second, 0.05, 0.0)) - 92.3444) <= 5e-5
