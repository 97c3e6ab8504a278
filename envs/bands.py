"""Half-widths and centres of the classical no-transaction bands, per unit of a short option.

`risk_aversion` is dimensionless: absolute risk aversion times the option's notional. `dollar_gamma` = S·Γ is
dimensionless too,
`cost_rate` is the fraction of a trade's value that it costs one way.
"""

from __future__ import annotations

import torch
from torch import Tensor

from envs.types import added

LEAST_STRETCH = 0.2  # of the volatility
LEAST = 1e-30  # under a power whose slope at 0 would be infinite


def whalley_wilmott(cost_rate: Tensor, dollar_gamma: Tensor, risk_aversion: float) -> Tensor:
    """Half-width (3/2·λ·(SΓ)²/γ)^⅓ of Whalley and Wilmott (1997), Mathematical Finance 7, 307, eq. 3.10."""
    return (1.5 * cost_rate * dollar_gamma.square() / risk_aversion) ** (1 / 3)


def zakamouline_half_width(
    cost_rate: Tensor, dollar_gamma: Tensor, risk_aversion: float, time_to_expiry: Tensor, volatility: Tensor
) -> Tensor:
    """H0 + H1 of Zakamouline (2006), European Financial Management 12, 443; H0 keeps it open where gamma vanishes."""
    base = cost_rate / (risk_aversion * volatility.square() * time_to_expiry)
    scale = _powers((cost_rate, 0.31), (time_to_expiry, 0.05), (volatility, -0.25))
    return base + 1.12 * scale * (dollar_gamma.abs() / risk_aversion).clamp(min=LEAST).sqrt()


def zakamouline_stretch(
    cost_rate: Tensor, dollar_gamma: Tensor, risk_aversion: float, time_to_expiry: Tensor, volatility: Tensor
) -> Tensor:
    """√(1 ∓ K): volatilities times this give the delta on which the band is centred; above 1 where gamma is short.

    K as printed in Sinclair, Volatility Trading, chapter 4. Bounded below where a long gamma would make it imaginary.
    """
    curved = (risk_aversion * dollar_gamma.abs()).clamp(min=LEAST)
    correction = 5.76 * _powers((cost_rate, 0.78), (time_to_expiry, -0.02), (volatility, -0.25), (curved, 0.15))
    return (1 - dollar_gamma.sign() * correction).clamp(min=LEAST_STRETCH**2).sqrt()


def _powers(*factors: tuple[Tensor, float]) -> Tensor:
    """The product of positive tensors to the powers given: one exponential, where `pow` costs twenty of them."""
    return torch.exp(added([power * torch.log(each) for each, power in factors]))
