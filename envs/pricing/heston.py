"""European options under Heston (1993), Review of Financial Studies 6, 327, without rate or carry.

dS = S√v·dW₁, dv = κ(θ − v)dt + ξ√v·dW₂, correlation ρ. The price is that of Black and Scholes at the expected mean
variance plus one integral of the difference of the characteristic functions (Lewis 2001, "A simple option formula for
general jump-diffusion and other exponential Lévy processes", eq. 3.11, less the same with Black and Scholes's), by
Gauss–Legendre on fixed nodes scaled by the expected standard deviation. `variance` v and `long_variance` θ per year,
`reversion` κ and `volatility_of_variance` ξ per year, `correlation` ρ; all broadcast. Time and memory O(batch·NODES).
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

from envs.pricing import black_scholes

NODES = 128
RANGE = 60.0  # of the integral, in units of 1/deviation


def price(
    spot: Tensor,
    strike: Tensor,
    time_to_expiry: Tensor,
    variance: Tensor,
    reversion: Tensor,
    long_variance: Tensor,
    volatility_of_variance: Tensor,
    correlation: Tensor,
    call: bool | Tensor = True,
) -> Tensor:
    """Quote currency per option; in float64 to 1e-10 of the spot for ξ ≤ 3, |ρ| ≤ 0.9 and τ from a day to two years."""
    number = torch.finfo(spot.dtype)
    time = time_to_expiry.clamp(min=number.eps)
    mean = expected_variance(time, variance, reversion, long_variance)
    u, weight = _nodes(spot.dtype, spot.device)
    deviation = torch.sqrt(mean * time).clamp(min=math.sqrt(number.eps)).unsqueeze(-1)
    u, weight = u / deviation, weight / deviation
    parameters = (time, variance, reversion, long_variance, volatility_of_variance, correlation)
    smooth = torch.exp(-(u.square() + 0.25) * (mean * time).unsqueeze(-1) / 2)
    excess = characteristic(u, *(each.unsqueeze(-1) for each in parameters)) - smooth
    turn = torch.exp(1j * u * (spot / strike).log().unsqueeze(-1))
    integral = ((turn * excess).real / (u.square() + 0.25) * weight).sum(-1)
    plain = black_scholes.price(spot, strike, time_to_expiry, mean.sqrt(), call)
    return torch.where(time_to_expiry > 0, plain - torch.sqrt(spot * strike) / math.pi * integral, plain)


def expected_variance(time: Tensor, variance: Tensor, reversion: Tensor, long_variance: Tensor) -> Tensor:
    """Mean over `time` of E[v]: θ + (v − θ)·(1 − e^{−κτ})/(κτ), per year."""
    rate = (reversion * time).clamp(min=torch.finfo(time.dtype).tiny)
    return long_variance + (variance - long_variance) * (-torch.expm1(-rate) / rate)


def characteristic(
    u: Tensor,
    time: Tensor,
    variance: Tensor,
    reversion: Tensor,
    long_variance: Tensor,
    volatility_of_variance: Tensor,
    correlation: Tensor,
) -> Tensor:
    """E[e^{(iu + ½)·ln(S_τ/S)}], u real: "The little Heston trap" (Albrecher et al. 2007, Wilmott, January, 83).

    β − d is written as −ξ²(u² + ¼)/(β + d), so that it holds as ξ → 0 too.
    """
    volatility = volatility_of_variance.clamp(min=torch.finfo(time.dtype).eps ** 0.5)
    beta = reversion - correlation * volatility * (0.5 + 1j * u)
    root = torch.sqrt(beta.square() + volatility.square() * (u.square() + 0.25))
    push = -(u.square() + 0.25) / (beta + root)
    ratio = volatility.square() * push / (beta + root)
    faded = torch.exp(-root * time)
    drift = push * time - 2 / volatility.square() * torch.log1p(ratio * (1 - faded) / (1 - ratio))
    return torch.exp(reversion * long_variance * drift + push * (1 - faded) / (1 - ratio * faded) * variance)


@cache
def _nodes(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Gauss–Legendre (nodes, weights) on [0, RANGE]."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    scaled = (nodes + 1) * RANGE / 2, weights * RANGE / 2
    return torch.tensor(scaled[0], dtype=dtype, device=device), torch.tensor(scaled[1], dtype=dtype, device=device)
