"""Black volatility of the SABR model: Hagan, Kumar, Lesniewski and Woodward (2002), Wilmott, September, 84, eq. 2.17a.

dF = αF^β dW₁, dα = να dW₂, correlation ρ. `forward` and `strike` in quote currency, `alpha` in its unit to the power
1 − β per √year, `nu` per √year, |ρ| < 1; arguments broadcast. An expansion in ν²τ: good while that stays well below 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from envs.pricing import black_scholes


def implied_volatility(
    forward: Tensor, strike: Tensor, time_to_expiry: Tensor, alpha: Tensor, rho: Tensor, nu: Tensor, beta: float = 1.0
) -> Tensor:
    """σ_B = α/((FK)^{(1−β)/2}·(1 + (1−β)²/24·ln² + (1−β)⁴/1920·ln⁴)) · z/χ(z) · (1 + (…)τ), per √year."""
    log, scale = torch.log(forward / strike), (forward * strike) ** ((1 - beta) / 2)
    level, bent = alpha / scale, ((1 - beta) * log).square()
    drift = (
        (1 - beta) ** 2 / 24 * level.square() + rho * beta * nu * level / 4 + (2 - 3 * rho.square()) / 24 * nu.square()
    )
    skew = _ratio(nu / level * log, rho) / (1 + bent / 24 + bent.square() / 1920)
    return level * skew * (1 + drift * time_to_expiry)


def _ratio(z: Tensor, rho: Tensor) -> Tensor:
    """z/χ(z), χ = ln((√(1 − 2ρz + z²) + z − ρ)/(1 − ρ)), as a logarithm of 1 + something in which nothing cancels.

    χ(−z; ρ) = −χ(z; −ρ), so z is taken positive. Near 0, for the gradient's sake, three terms of the series.
    """
    near = z.abs() < torch.finfo(z.dtype).eps ** 0.25
    series = 1 - z * rho / 2 + z.square() * (2 - 3 * rho.square()) / 12
    size, turned = torch.where(near, 1.0, z.abs()), torch.where(z < 0, -rho, rho)
    root = torch.sqrt(1 + size * (size - 2 * turned))
    return torch.where(near, series, size / torch.log1p(size * (1 + (size - 2 * turned) / (root + 1)) / (1 - turned)))


def bartlett_delta(
    forward: Tensor,
    strike: Tensor,
    time_to_expiry: Tensor,
    alpha: Tensor,
    rho: Tensor,
    nu: Tensor,
    beta: float = 1.0,
    call: bool | Tensor = True,
) -> Tensor:
    """dV/dF when α moves by its expectation given dF, ρν/F^β·dF: Bartlett (2006), Wilmott, July, 2; no gradient."""

    shape = implied_volatility(forward, strike, time_to_expiry, alpha, rho, nu, beta).shape
    with torch.enable_grad():
        f, a = (each.detach().expand(shape).requires_grad_() for each in (forward, alpha))
        volatility = implied_volatility(f, strike, time_to_expiry, a, rho, nu, beta)
        value = black_scholes.price(f, strike, time_to_expiry, volatility, call)
        along_forward, along_alpha = torch.autograd.grad(value.sum(), (f, a))
    return along_forward + along_alpha * rho * nu / forward**beta
