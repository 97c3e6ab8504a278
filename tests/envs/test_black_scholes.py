"""Black–Scholes–Merton: limits, gradients, finite differences and no-arbitrage (`tests/reference` has QuantLib)."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from envs.pricing import black_scholes
from envs.pricing.black_scholes import d1, delta, gamma, greeks, price, vanna, vega, volga

ULP = 2.3e-16  # spacing of float64 at 1
EACH = [price, delta, gamma, vega, vanna, volga, d1]
FIELDS = ("value", "delta", "gamma", "vega", "theta")
spots = st.floats(0.05, 20.0)  # per unit of strike
times = st.floats(1e-4, 3.0)
volatilities = st.floats(0.02, 4.0)
rates = st.floats(-0.1, 0.3)


def double(*values: float) -> list[Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


@pytest.fixture
def book() -> tuple[Tensor, ...]:
    """500 puts and calls near the money, with rate and carry, fit for finite differences."""
    uniform = torch.rand(7, 500, generator=torch.Generator().manual_seed(11), dtype=torch.float64)
    spot, strike, time, volatility = 60 + 80 * uniform[0], 80 + 40 * uniform[1], 0.1 + uniform[2], 0.3 + uniform[3]
    return spot, strike, time, volatility, uniform[4] > 0.5, 0.1 * uniform[5], 0.2 * uniform[6] - 0.1


def slope(book: tuple[Tensor, ...], argument: int, field: str) -> Tensor:
    """Central difference of fourth order of a greek in one argument: error h⁴ and ε/h."""
    h = 1e-3 * book[argument]

    def at(steps: int) -> Tensor:
        moved = [each + steps * h if index == argument else each for index, each in enumerate(book)]
        values: Tensor = getattr(greeks(*moved), field)
        return values

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h)


@pytest.mark.parametrize(
    ("argument", "field", "derivative"),
    [(0, "value", "delta"), (0, "delta", "gamma"), (3, "value", "vega"), (2, "value", "theta")],
)
def test_greeks_are_finite_differences(book: tuple[Tensor, ...], argument: int, field: str, derivative: str) -> None:
    found = getattr(greeks(*book), derivative) * (-1 if derivative == "theta" else 1)
    assert ((slope(book, argument, field) - found).abs() / found.abs().amax()).max() < 1e-8


def test_vanna_and_volga_are_finite_differences(book: tuple[Tensor, ...]) -> None:
    spot, strike, time, volatility, _, rate, carry = book
    for found, expected in (
        (vanna(spot, strike, time, volatility, rate, carry), slope(book, 0, "vega")),
        (vanna(spot, strike, time, volatility, rate, carry), slope(book, 3, "delta")),
        (volga(spot, strike, time, volatility, rate, carry), slope(book, 3, "vega")),
    ):
        assert ((found - expected).abs() / found.abs().amax()).max() < 1e-8


def test_autograd_gives_the_greeks(book: tuple[Tensor, ...]) -> None:
    spot, strike, time, volatility, call, rate, carry = book
    inputs = [each.clone().requires_grad_() for each in (spot, time, volatility)]
    value = price(inputs[0], strike, inputs[1], inputs[2], call, rate, carry).sum()
    found = torch.autograd.grad(value, inputs)
    expected = greeks(*book)
    for gradient, greek in zip(found, (expected.delta, -expected.theta, expected.vega), strict=True):
        assert torch.allclose(gradient, greek, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rate", [0.0, 0.05])
@pytest.mark.parametrize("call", [True, False])
def test_values_and_gradients_are_finite_in_every_corner(dtype: torch.dtype, rate: float, call: bool) -> None:
    axes = (
        [0.0, 1e-30, 1e-3, 99.99999, 100.0, 100.00001, 1e5, 1e18],
        [0.0, 1e-20, 1e-9, 1e-3, 10.0],
        [0.0, 1e-9, 0.01, 1.0, 20.0],
    )
    corners = [torch.tensor(axis, dtype=dtype) for axis in axes]
    spot, time, volatility = (each.clone().requires_grad_() for each in torch.cartesian_prod(*corners).unbind(-1))
    found = greeks(spot, torch.full_like(spot, 100.0), time, volatility, call, rate, rate)
    for field in FIELDS:
        assert getattr(found, field).isfinite().all(), field
    for field in ("value", "delta", "vega"):
        for gradient in torch.autograd.grad(getattr(found, field).sum(), (spot, volatility), retain_graph=True):
            assert gradient.isfinite().all(), field
    (slow,) = torch.autograd.grad(found.value.sum(), time)
    assert slow.isfinite().all()


def test_at_the_money_the_limits_are_one_sided_derivatives() -> None:
    spot, time, nothing = double(100.0, 0.25, 0.0)
    found = greeks(spot, spot, time, nothing)
    assert float(found.vega) == pytest.approx(100 * 0.5 / math.sqrt(2 * math.pi), rel=1e-15)
    assert [float(found.value), float(found.delta), float(found.gamma), float(found.theta)] == [0, 0.5, 0, 0]


def test_without_volatility_the_price_is_the_discounted_payoff_of_the_forward() -> None:
    spot = torch.tensor([80.0, 100.0, 125.0], dtype=torch.float64)
    strike, time, nothing = double(100.0, 2.0, 0.0)
    for call, sign in ((True, 1), (False, -1)):
        found = price(spot, strike, time, nothing, call, 0.05, 0.03)
        payoff = (sign * (spot * math.exp(0.06) - 100)).clamp(min=0) * math.exp(-0.1)
        assert found.tolist() == pytest.approx(payoff.tolist(), rel=1e-14)


def test_a_mask_mixes_calls_and_puts() -> None:
    spot, strike, time, volatility = double(110.0, 100.0, 0.3, 0.7)
    mixed = greeks(spot, strike, time, volatility, torch.tensor([True, False]), 0.05, 0.02)
    for index, call in enumerate((True, False)):
        single = greeks(spot, strike, time, volatility, call, 0.05, 0.02)
        for field in FIELDS:
            assert float(getattr(mixed, field).expand(2)[index]) == float(getattr(single, field))


def test_float32_is_float64_rounded() -> None:
    """Relative to spot; the rounding of d1, ε·|ln S/K|/σ√τ, times n(d1)·σ√τ of the price is a few ε."""
    spot, time = torch.linspace(60, 160, 101).double(), double(1 / 365)[0]
    strike, volatility = double(100.0, 0.8)
    fine, coarse = (
        greeks(*(e.to(t) for e in (spot, strike, time, volatility))) for t in (torch.float64, torch.float32)
    )
    assert ((fine.value - coarse.value).abs() / spot).max() < 8 * 1.2e-7
    assert (fine.delta - coarse.delta).abs().max() < 32 * 1.2e-7
    assert ((fine.gamma - coarse.gamma).abs() / fine.gamma.max()).max() < 64 * 1.2e-7


@given(spot=spots, time=times, volatility=volatilities, rate=rates, carry=rates)
def test_put_call_parity(spot: float, time: float, volatility: float, rate: float, carry: float) -> None:
    at = double(spot, 1.0, time, volatility)
    call, put = (greeks(*at, side, rate, carry) for side in (True, False))
    asset, bond = math.exp((carry - rate) * time), math.exp(-rate * time)
    assert float(call.value - put.value) == pytest.approx(spot * asset - bond, abs=20 * ULP * (spot * asset + bond))
    assert float(call.delta - put.delta) == pytest.approx(asset, rel=10 * ULP)
    assert float(call.gamma) == float(put.gamma)
    assert float(call.vega) == float(put.vega)


def test_gradient_of_price_is_delta() -> None:
    spot = torch.tensor([60.0, 100.0, 170.0], dtype=torch.float64, requires_grad=True)
    strike, time, volatility = double(100.0, 0.1, 0.8)
    price(spot, strike, time, volatility).sum().backward()  # type: ignore[no-untyped-call]
    assert spot.grad is not None
    assert spot.grad.tolist() == pytest.approx(delta(spot, strike, time, volatility).tolist(), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("time", "volatility"), [(0.0, 0.7), (0.3, 0.0), (0.0, 0.0)])
def test_without_time_or_volatility_the_call_is_its_payoff(dtype: torch.dtype, time: float, volatility: float) -> None:
    spot = torch.tensor([80.0, 100.0, 125.0], dtype=dtype)
    rest = [torch.tensor(value, dtype=dtype) for value in (100.0, time, volatility)]
    assert price(spot, *rest).tolist() == [0.0, 0.0, 25.0]
    assert delta(spot, *rest).tolist() == [0.0, 0.5, 1.0]
    assert gamma(spot, *rest).tolist() == [0.0, 0.0, 0.0]


def test_limits_far_from_the_strike() -> None:
    strike, time, volatility = double(100.0, 0.25, 0.8)
    low, high = double(1e-8, 1e12)
    assert float(price(low, strike, time, volatility)) == pytest.approx(0.0, abs=1e-20)
    assert float(delta(low, strike, time, volatility)) == pytest.approx(0.0, abs=1e-20)
    assert float(price(high, strike, time, volatility)) == pytest.approx(1e12 - 100, rel=1e-15)
    assert float(delta(high, strike, time, volatility)) == 1.0
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
    assert float(price(*other)) / currency == pytest.approx(float(price(*one)), rel=1e-9, abs=1e-13)
    assert float(delta(*other)) == pytest.approx(float(delta(*one)), rel=1e-9, abs=1e-13)
    assert float(gamma(*other)) * currency == pytest.approx(float(gamma(*one)), rel=1e-9, abs=1e-13)
    assert float(vega(*other)) / currency == pytest.approx(float(vega(*one)), rel=1e-9, abs=1e-13)
    assert float(delta(*other, False)) == pytest.approx(float(delta(*one, False)), rel=1e-9, abs=1e-13)


@given(spot=spots, time=times, volatility=volatilities)
def test_price_stands_within_its_bounds_of_no_arbitrage(spot: float, time: float, volatility: float) -> None:
    arguments = double(spot, 1.0, time, volatility)
    rounding = 20 * ULP * (1 + spot)
    assert max(0.0, spot - 1) - rounding <= float(price(*arguments)) <= spot + rounding
    assert 0 <= float(delta(*arguments)) <= 1
    assert float(gamma(*arguments)) >= 0


@given(spot=spots, time=times, volatility=volatilities, step=st.floats(1e-3, 1.0))
def test_price_rises_with_spot_time_and_volatility_and_falls_with_the_strike(
    spot: float, time: float, volatility: float, step: float
) -> None:
    base = float(price(*double(spot, 1.0, time, volatility)))
    rounding = 20 * ULP * (2 + spot)
    for other in ((spot + step, 1.0, time, volatility), (spot, 1.0, time + step, volatility)):
        assert float(price(*double(*other))) >= base - rounding
    assert float(price(*double(spot, 1.0, time, volatility + step))) >= base - rounding
    assert float(price(*double(spot, 1 + step, time, volatility))) <= base + rounding
    assert float(delta(*double(spot + step, 1.0, time, volatility))) >= float(
        delta(*double(spot, 1.0, time, volatility))
    ) * (1 - 1e-12)


@given(moneyness=st.floats(-0.05, 0.05), time=st.floats(0.02, 1.0), volatility=st.floats(0.3, 1.5))
def test_near_the_money_price_strictly_rises(moneyness: float, time: float, volatility: float) -> None:
    """Where vega and theta are far above rounding."""
    spot = math.exp(moneyness)
    base = float(price(*double(spot, 1.0, time, volatility)))
    assert float(price(*double(spot, 1.0, time, volatility * 1.01))) > base + 1e-5
    assert float(price(*double(spot, 1.0, time * 1.01, volatility))) > base + 1e-5
    assert float(price(*double(spot * 1.01, 1.0, time, volatility))) > base + 1e-3
