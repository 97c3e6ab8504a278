"""Liquidity positions: the pool's invariant, derivatives, edges, and limits."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from envs.pricing import uniswap

prices = st.floats(0.01, 100.0)


def double(*values: float) -> list[Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


@given(spot=st.floats(0.51, 1.99))
def test_reserves_keep_the_invariant_of_equation_2_2(spot: float) -> None:
    """(x + L/√upper)·(y + L·√lower) = L² inside the range [½, 2]."""
    base, quote = uniswap.amounts(*double(spot, 7.0), 0.5, 2.0)
    assert float((base + 7 / math.sqrt(2)) * (quote + 7 * math.sqrt(0.5))) == pytest.approx(49, rel=1e-12)


def test_version_two_is_the_constant_product() -> None:
    """x·y = L², y/x = S, V = 2L√S, delta L/√S; half of the value is base."""
    spot, size = double(2500.0, 4.0)
    base, quote = uniswap.amounts(spot, size)
    found = uniswap.greeks(spot, size)
    assert float(base * quote) == pytest.approx(16, rel=1e-14)
    assert float(quote / base) == pytest.approx(2500, rel=1e-14)
    assert float(found.value) == pytest.approx(2 * 4 * 50, rel=1e-14)
    assert float(found.delta) == pytest.approx(4 / 50, rel=1e-14)
    assert float(found.gamma) == pytest.approx(-4 / (2 * 2500 * 50), rel=1e-14)


def test_a_fourfold_price_costs_a_fifth_against_holding() -> None:
    """Divergence loss of v2, 2√k/(1 + k) − 1: −20 % at k = 4 (Pintail 2019, "Understanding Uniswap Returns")."""
    one, four, size = double(1.0, 4.0, 1.0)
    base, quote = uniswap.amounts(one, size)
    assert float(uniswap.greeks(four, size).value / (4 * base + quote) - 1) == pytest.approx(-0.2, rel=1e-14)


def test_greeks_are_finite_differences_on_both_sides_of_the_edges() -> None:
    spot = torch.tensor([1000.0, 1499.0, 1501.0, 2000.0, 2499.0, 2501.0, 4000.0], dtype=torch.float64)
    size = torch.full_like(spot, 30.0)

    def value(moved: Tensor) -> Tensor:
        return uniswap.greeks(moved, size, 1500.0, 2500.0).value

    h, found = 0.1, uniswap.greeks(spot, size, 1500.0, 2500.0)
    up, middle, down = value(spot + h), value(spot), value(spot - h)
    assert torch.allclose((up - down) / (2 * h), found.delta, rtol=1e-7, atol=1e-9)
    assert torch.allclose((up - 2 * middle + down) / h**2, found.gamma, rtol=1e-4, atol=1e-9)


def test_gradient_of_the_value_is_delta() -> None:
    spot = torch.tensor([1000.0, 1700.0, 3000.0], dtype=torch.float64, requires_grad=True)
    found = uniswap.greeks(spot, torch.ones(3, dtype=torch.float64), 1500.0, 2500.0)
    (slope,) = torch.autograd.grad(found.value.sum(), spot)
    assert torch.allclose(slope, found.delta, rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_outside_its_range_a_position_is_all_base_or_all_quote(dtype: torch.dtype) -> None:
    spot = torch.tensor([0.0, 1.0, 1500.0, 2500.0, 1e12], dtype=dtype)
    size = torch.ones_like(spot)
    base, quote = uniswap.amounts(spot, size, 1500.0, 2500.0)
    most = 1 / math.sqrt(1500) - 1 / math.sqrt(2500)
    assert base.tolist() == pytest.approx([most] * 3 + [0, 0], rel=1e-5)
    assert quote.tolist() == pytest.approx([0] * 3 + [math.sqrt(2500) - math.sqrt(1500)] * 2, rel=1e-5)
    found = uniswap.greeks(spot, size, 1500.0, 2500.0)
    assert (found.gamma != 0).tolist() == [False, False, True, False, False]
    assert uniswap.in_range(spot, 1500.0, 2500.0).tolist() == [False, False, True, False, False]
    assert float(uniswap.greeks(spot, size).value[0]) == 0


@given(spot=prices, middle=prices, width=st.floats(1.001, 10.0), notional=st.floats(1.0, 1e6))
def test_liquidity_buys_its_notional(spot: float, middle: float, width: float, notional: float) -> None:
    worth, s = double(notional, spot)
    lower, upper = middle / width, middle * width
    size = uniswap.liquidity(worth, s, lower, upper)
    assert float(uniswap.greeks(s, size, lower, upper).value) == pytest.approx(notional, rel=1e-9)


@given(spot=prices, currency=st.floats(1e-3, 1e3))
def test_another_currency_changes_only_the_unit(spot: float, currency: float) -> None:
    """Liquidity is √(base·quote), so it grows with √currency."""
    one = uniswap.greeks(*double(spot, 1.0), 0.5, 2.0)
    other = uniswap.greeks(*double(spot * currency, math.sqrt(currency)), 0.5 * currency, 2.0 * currency)
    assert float(other.value) / currency == pytest.approx(float(one.value), rel=1e-12)
    assert float(other.delta) == pytest.approx(float(one.delta), rel=1e-9, abs=1e-12)
    if 0.501 < spot < 1.999:
        assert float(other.gamma) * currency == pytest.approx(float(one.gamma), rel=1e-9)


def test_fees_are_the_positions_share_while_in_range() -> None:
    volume = torch.full((2,), 1e6, dtype=torch.float64)
    inside = uniswap.in_range(torch.tensor([2000.0, 2600.0], dtype=torch.float64), 1500.0, 2500.0)
    assert uniswap.fees(volume, 0.0005, torch.tensor(0.01, dtype=torch.float64), inside).tolist() == [5.0, 0.0]
