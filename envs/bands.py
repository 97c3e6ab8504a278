"""Half-widths and centres of the classical no-transaction bands, per unit of a short option.

`risk_aversion` is dimensionless: absolute risk aversion times the option's notional. `dollar_gamma` = S·Γ is
dimensionless too,
`cost_rate` is the fraction of a trade's value that it costs one way.
"""

from __future__ import annotations

from torch import Tensor

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
    hedge = (
        1.12
        * cost_rate**0.31
        * time_to_expiry**0.05
        * volatility**-0.25
        * (dollar_gamma.abs() / risk_aversion).clamp(min=LEAST).sqrt()
    )
    return base + hedge


def zakamouline_stretch(
    cost_rate: Tensor, dollar_gamma: Tensor, risk_aversion: float, time_to_expiry: Tensor, volatility: Tensor
) -> Tensor:
    """√(1 ∓ K): volatilities times this give the delta on which the band is centred; above 1 where gamma is short.

    K as printed in Sinclair, Volatility Trading, chapter 4. Bounded below where a long gamma would make it imaginary.
    """
    correction = (
        5.76
        * cost_rate**0.78
        * time_to_expiry**-0.02
        * volatility**-0.25
        * (risk_aversion * dollar_gamma.abs()).clamp(min=LEAST) ** 0.15
    )
    return (1 - dollar_gamma.sign() * correction).clamp(min=LEAST_STRETCH**2).sqrt()
