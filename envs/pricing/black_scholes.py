"""Black and Scholes (1973) for European calls on a forward that costs nothing to carry (rate and dividend zero).

A perpetual's holder pays funding instead of a rate, so the forward is the spot. Arguments broadcast; `spot` and
`strike` in quote currency, `time_to_expiry` in years, `volatility` per √year. At zero time or zero volatility every
function takes its limit.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

TINY = 1e-12


def ndtr(x: Tensor) -> Tensor:
    """The standard normal distribution function."""
    value: Tensor = torch.special.ndtr(x)
    return value


def d1(spot: Tensor, strike: Tensor, time_to_expiry: Tensor, volatility: Tensor) -> Tensor:
    """(ln(S/K) + σ²τ/2) / (σ√τ); ±huge in the limit σ√τ → 0, and 0 there at the money."""
    deviation = volatility * time_to_expiry.sqrt()
    return torch.log(spot / strike) / deviation.clamp(min=TINY) + deviation / 2


def call_price(spot: Tensor, strike: Tensor, time_to_expiry: Tensor, volatility: Tensor) -> Tensor:
    """S·N(d1) − K·N(d2), quote currency per option."""
    first = d1(spot, strike, time_to_expiry, volatility)
    second = first - volatility * time_to_expiry.sqrt()
    return spot * ndtr(first) - strike * ndtr(second)


def call_delta(spot: Tensor, strike: Tensor, time_to_expiry: Tensor, volatility: Tensor) -> Tensor:
    """∂C/∂S = N(d1), base units per option."""
    return ndtr(d1(spot, strike, time_to_expiry, volatility))


def gamma(spot: Tensor, strike: Tensor, time_to_expiry: Tensor, volatility: Tensor) -> Tensor:
    """∂²C/∂S² = n(d1)/(S·σ√τ), base units per option and unit of quote currency; 0 once σ√τ = 0."""
    deviation = volatility * time_to_expiry.sqrt()
    first = d1(spot, strike, time_to_expiry, volatility)
    density = torch.exp(-0.5 * first.square()) / math.sqrt(2 * math.pi)
    alive = (deviation > TINY) & (density > 0)
    return torch.where(alive, density / torch.where(alive, spot * deviation, 1.0), 0.0)
