"""Implied volatility: 60-digit prices in deep wings, round trips, a real chain's ranges, and prices that have none."""

from __future__ import annotations

import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from envs.pricing import black_scholes
from envs.pricing.implied import implied_volatility, normalised_deviation


def double(*values: float) -> list[Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


@pytest.fixture(scope="module")
def wings() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(b, e^{x/2} − b, x, s) rounded from 60 digits, for |x| up to 16 and s from 1e-4 to 40: prices down to 1e-225."""
    rows = []
    with mpmath.workdps(60):
        for x in (0.0, *(-(10.0 ** (k / 4)) for k in range(-24, 6))):
            for s in (10.0 ** (k / 8) for k in range(-32, 14)):
                h, t, half = mpmath.mpf(x) / s, mpmath.mpf(s) / 2, mpmath.exp(mpmath.mpf(x) / 2)
                b = half * mpmath.ncdf(h + t) - mpmath.ncdf(h - t) / half
                room = half * mpmath.ncdf(-h - t) + mpmath.ncdf(h - t) / half
                rows.append((float(b), float(room), x, s))
    table = torch.tensor(rows, dtype=torch.float64)
    return table[(table[:, 0] > 1e-307) & (table[:, 1] > 1e-307)].unbind(-1)  # type: ignore[return-value]


def test_ten_digits_in_float64_wherever_the_price_is_a_normal_number(wings: tuple[Tensor, ...]) -> None:
    b, room, x, s = wings
    assert len(b) > 700
    assert b.min() < 1e-220
    assert room.min() < 1e-80
    assert (normalised_deviation(b, room, x) / s - 1).abs().max() < 1e-10


def test_five_digits_in_float32_down_to_a_deviation_of_a_tenth(wings: tuple[Tensor, ...]) -> None:
    """And a digit less for each digit of the deviation below it: the rounding of 1 − b."""
    b, room, x, s = wings
    fit = (b > 1e-36) & (room > 1e-36)
    found = normalised_deviation(b[fit].float(), room[fit].float(), x[fit].float())
    error = (found.double() / s[fit] - 1).abs()
    assert (error * (s[fit] / 0.1).clamp(max=1)).max() < 100 * 1.2e-7
    assert error.median() < 1e-6


@given(
    moneyness=st.floats(-0.8, 0.8),
    time=st.floats(1e-3, 2),
    volatility=st.floats(0.05, 3),
    rate=st.floats(-0.1, 0.2),
    carry=st.floats(-0.1, 0.2),
    call=st.booleans(),
)
def test_round_trip(moneyness: float, time: float, volatility: float, rate: float, carry: float, call: bool) -> None:
    """To the rounding of price and intrinsic value over vega, 8 units each; invalid only where that is all there is."""
    spot, strike, t, v = double(2.718**moneyness, 1.0, time, volatility)
    at = black_scholes.greeks(spot, strike, t, v, call, rate, carry)
    found = implied_volatility(at.value, spot, strike, t, call, rate, carry)
    rounding = 8 * 2.3e-16 * (float(spot) + 1)
    if float(at.vega) * volatility > 1e3 * rounding:
        assert bool(found.valid)
        assert float(found.volatility) == pytest.approx(volatility, abs=rounding / float(at.vega) + 1e-11 * volatility)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_chain_quoted_in_volatility_comes_back(dtype: torch.dtype) -> None:
    """The ranges of Deribit's BTC chain of 2021-10-21: two weeks to a year, strikes ½ to 2½ forwards, 80 to 120 %."""
    axes = [torch.tensor([0.04, 0.1, 0.45, 0.95]), torch.linspace(0.5, 2.5, 21), torch.linspace(0.8, 1.2, 5)]
    time, ratio, volatility = (axis.to(dtype) for axis in torch.cartesian_prod(*axes).unbind(-1))
    forward = torch.full_like(time, 67_000.0)
    strike = forward * ratio
    call = strike > forward
    price = black_scholes.price(forward, strike, time, volatility, call)
    found = implied_volatility(price, forward, strike, time, call)
    worth = price > 1e-6 * forward
    assert worth.sum() > 300
    assert found.valid[worth].all()
    assert (found.volatility / volatility - 1)[worth].abs().max() < (1e-12 if dtype == torch.float64 else 2e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_price_outside_its_bounds_is_marked_and_never_nan(dtype: torch.dtype) -> None:
    spot, strike, time = (torch.tensor(value, dtype=dtype) for value in (100.0, 80.0, 0.5))
    prices = torch.tensor([19.0, 20.0, -1.0, 100.0, 150.0, torch.inf, torch.nan, 25.0], dtype=dtype)
    found = implied_volatility(prices, spot, strike, time)
    assert found.valid.tolist() == [False] * 7 + [True]
    assert found.volatility[:7].tolist() == [0.0] * 7
    assert float(found.volatility[7]) > 0
    for bad in (0.0, -1.0, torch.nan):
        late = implied_volatility(prices, spot, strike, torch.tensor(bad, dtype=dtype))
        assert not late.valid.any()
        assert (late.volatility == 0).all()
    assert not implied_volatility(prices, torch.zeros_like(spot), strike, time).valid.any()
    assert not implied_volatility(prices, spot, -strike, time).valid.any()


def test_calls_and_puts_of_one_volatility_agree() -> None:
    strike = torch.linspace(60, 160, 21, dtype=torch.float64)
    spot, time, volatility = double(100.0, 0.3, 0.7)
    found = [
        implied_volatility(
            black_scholes.price(spot, strike, time, volatility, c, 0.03, 0.01), spot, strike, time, c, 0.03, 0.01
        )
        for c in (True, False)
    ]
    assert (found[0].volatility / found[1].volatility - 1).abs().max() < 1e-12
