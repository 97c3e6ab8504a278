"""SABR's implied volatility against QuantLib and its own limits; Bartlett's delta."""

from __future__ import annotations

import itertools
import math

import pytest
import QuantLib
import torch
from torch import Tensor

from envs.pricing import black_scholes, hagan

PARAMETERS = list(itertools.product((0.0, 0.5, 1.0), (-0.7, 0.0, 0.6), (1e-4, 0.5, 2.0), (0.02, 0.25, 1.0)))


def double(*values: float) -> list[Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_volatility_is_quantlibs(beta: float) -> None:
    """729 points: strikes ½ to 2 forwards, the forward itself and a hair beside it.

    To 1e-12 and the rounding of QuantLib's ln(1 + z) for small z, ε/z until it turns to a series at z = √(10ε).
    """
    for given_beta, rho, nu, time in PARAMETERS:
        if given_beta != beta:
            continue
        for ratio in (0.5, 0.8, 0.99, 1.0, 1.0 + 1e-9, 1.001, 1.1, 1.5, 2.0):
            strike, alpha = 100.0 * ratio, 0.6 * 100 ** (1 - beta)
            expected = QuantLib.sabrVolatility(strike, 100.0, time, alpha, beta, nu, rho)
            found = hagan.implied_volatility(*double(100.0, strike, time, alpha, rho, nu), beta=beta)
            z = abs(nu / alpha * 100 ** (1 - beta) * math.log(ratio))
            assert float(found) == pytest.approx(expected, rel=1e-12 + 4 * 2.3e-16 / max(z, 4.7e-8))


def test_batch_and_single_agree() -> None:
    strike = torch.linspace(50, 200, 31, dtype=torch.float64)[:, None]
    nu = torch.tensor([0.1, 1.0, 2.0], dtype=torch.float64)
    forward, time, alpha, rho = double(100.0, 0.3, 0.6, -0.3)
    table = hagan.implied_volatility(forward, strike, time, alpha, rho, nu)
    assert table.shape == (31, 3)
    assert float(table[4, 2]) == pytest.approx(
        float(hagan.implied_volatility(forward, strike[4, 0], time, alpha, rho, nu[2])), rel=1e-14
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_smooth_through_the_money(dtype: torch.dtype) -> None:
    """At the money α·(1 + (ρνα/4 + (2 − 3ρ²)ν²/24)τ) for β = 1, and no jump, no NaN and a gradient beside it."""
    away = torch.tensor([-1e-2, -1e-4, -1e-6, 0.0, 1e-6, 1e-4, 1e-2], dtype=dtype)
    forward, time, alpha, rho, nu = (torch.tensor(value, dtype=dtype) for value in (100.0, 0.5, 0.7, -0.4, 1.5))
    strike = (forward * away.exp()).requires_grad_()
    found = hagan.implied_volatility(forward, strike, time, alpha, rho, nu)
    middle = 0.7 * (1 + (-0.4 * 1.5 * 0.7 / 4 + (2 - 3 * 0.16) / 24 * 2.25) * 0.5)
    slope = 0.5 * -0.4 * 1.5 * middle / 0.7  # of z/χ(z) at z = 0 is −ρ/2, and z = −ν/α·ln(K/F)
    eps = torch.finfo(dtype).eps
    expected = middle + slope * away
    assert ((found - expected).abs() <= 4 * eps + 4 * away.square()).all()
    (gradient,) = torch.autograd.grad(found.sum(), strike)
    assert gradient.isfinite().all()


def test_without_volatility_of_volatility_it_is_lognormal() -> None:
    strike = torch.linspace(50, 200, 7, dtype=torch.float64)
    found = hagan.implied_volatility(double(100.0)[0], strike, *double(0.5, 0.7, -0.4, 0.0))
    assert found.tolist() == pytest.approx([0.7] * 7, rel=1e-14)


def test_bartletts_delta_is_the_slope_along_the_expected_move_of_alpha() -> None:
    strike = torch.tensor([80.0, 100.0, 130.0], dtype=torch.float64)
    forward, time, alpha, rho, nu = double(100.0, 0.2, 0.7, -0.5, 1.2)

    def value(move: float) -> Tensor:
        moved = forward + move
        volatility = hagan.implied_volatility(moved, strike, time, alpha + rho * nu / forward * move, rho, nu)
        return black_scholes.price(moved, strike, time, volatility)

    found = hagan.bartlett_delta(forward, strike, time, alpha, rho, nu)
    assert torch.allclose(found, (value(1e-3) - value(-1e-3)) / 2e-3, rtol=1e-8)
    flat = hagan.bartlett_delta(forward, strike, time, alpha, rho, torch.zeros_like(nu), call=False)
    assert torch.allclose(flat, black_scholes.delta(forward, strike, time, alpha, False), rtol=1e-12)
