"""Black, Scholes and Merton (1973) for European options, with their greeks.

Haug, The Complete Guide to Option Pricing Formulas (2nd ed.), §1.1.6 and chapter 2: `rate` r discounts and `carry` b
is the growth of the forward, S·e^{bτ}. Both are zero unless given, as for an option on a perpetual, whose holder pays
funding instead. b = r is a stock, b = 0 a future (Black 1976), b = r − q a dividend yield q.

Arguments broadcast; `spot` and `strike` (positive) in quote currency, `time_to_expiry` in years, `volatility` per
√year; `call` is True, False, or a tensor of them. Each function, and its gradient, is finite at τ = 0, σ = 0 and
S → 0 and takes its limit there; where that is infinite (an at-the-money gamma or theta as τ → 0) it is 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from envs.types import Greeks

Number = float | Tensor


def ndtr(x: Tensor) -> Tensor:
    """The standard normal distribution function, to full relative accuracy in the lower tail."""
    return torch.erfc(x * -math.sqrt(0.5)) * 0.5


def density(x: Tensor) -> Tensor:
    """The standard normal density."""
    return torch.exp(x.square() * -0.5) * (1 / math.sqrt(2 * math.pi))


def sign(call: bool | Tensor, dtype: torch.dtype) -> Number:
    """φ: 1 for a call, −1 for a put."""
    return 2 * call.to(dtype) - 1 if isinstance(call, Tensor) else 2.0 * call - 1


def compounded(rate: Number, time: Tensor) -> Number:
    """e^{rate·time}; the number 1 without a rate, which costs the inner loop nothing."""
    return 1.0 if _absent(rate) else torch.exp(rate * time)


def _absent(rate: Number) -> bool:
    return not isinstance(rate, Tensor) and rate == 0


@dataclass(frozen=True)
class _Terms:
    """What price and greeks share."""

    root: Tensor  # √τ
    deviation: Tensor  # σ√τ, kept from zero: below an eighth of a rounding unit it is lost in the price
    alive: Tensor  # 1, and 0 where σ√τ = 0
    moneyness: Tensor  # S/K, kept from zero
    d1: Tensor
    d2: Tensor


def _terms(spot: Tensor, strike: Tensor, time_to_expiry: Tensor, volatility: Tensor, carry: Number) -> _Terms:
    number = torch.finfo(spot.dtype)
    root = time_to_expiry / time_to_expiry.clamp(min=number.tiny).sqrt()
    raw = volatility * root
    deviation = raw.clamp(min=number.eps / 8)
    moneyness = (spot / strike).clamp(min=number.tiny)
    log_forward = moneyness.log()
    if not _absent(carry):
        log_forward = log_forward + carry * time_to_expiry
    middle, half = log_forward / deviation, deviation / 2
    return _Terms(root, deviation, raw / deviation, moneyness, middle + half, middle - half)


def d1(spot: Tensor, strike: Tensor, time_to_expiry: Tensor, volatility: Tensor, carry: Number = 0.0) -> Tensor:
    """(ln(S/K) + bτ + σ²τ/2) / (σ√τ); ±huge in the limit σ√τ → 0, and 0 there at the money."""
    return _terms(spot, strike, time_to_expiry, volatility, carry).d1


def price(
    spot: Tensor,
    strike: Tensor,
    time_to_expiry: Tensor,
    volatility: Tensor,
    call: bool | Tensor = True,
    rate: Number = 0.0,
    carry: Number = 0.0,
) -> Tensor:
    """φ·(S·e^{(b−r)τ}·N(φd1) − K·e^{−rτ}·N(φd2)), quote currency per option."""
    at, side = _terms(spot, strike, time_to_expiry, volatility, carry), sign(call, spot.dtype)
    asset = spot * compounded(carry - rate, time_to_expiry) * ndtr(side * at.d1)
    return side * (asset - strike * compounded(-rate, time_to_expiry) * ndtr(side * at.d2))


def delta(
    spot: Tensor,
    strike: Tensor,
    time_to_expiry: Tensor,
    volatility: Tensor,
    call: bool | Tensor = True,
    rate: Number = 0.0,
    carry: Number = 0.0,
) -> Tensor:
    """∂V/∂S = φ·e^{(b−r)τ}·N(φd1), base units per option."""
    at, side = _terms(spot, strike, time_to_expiry, volatility, carry), sign(call, spot.dtype)
    return side * compounded(carry - rate, time_to_expiry) * ndtr(side * at.d1)


def gamma(
    spot: Tensor, strike: Tensor, time_to_expiry: Tensor, volatility: Tensor, rate: Number = 0.0, carry: Number = 0.0
) -> Tensor:
    """∂²V/∂S² = e^{(b−r)τ}·n(d1)/(S·σ√τ) of calls and puts, base units per unit of quote currency; 0 once σ√τ = 0."""
    at = _terms(spot, strike, time_to_expiry, volatility, carry)
    return compounded(carry - rate, time_to_expiry) * _spot_gamma(at, strike, density(at.d1))


def vega(
    spot: Tensor, strike: Tensor, time_to_expiry: Tensor, volatility: Tensor, rate: Number = 0.0, carry: Number = 0.0
) -> Tensor:
    """∂V/∂σ = S·e^{(b−r)τ}·n(d1)·√τ of calls and puts, quote currency per unit of volatility."""
    at = _terms(spot, strike, time_to_expiry, volatility, carry)
    return spot * compounded(carry - rate, time_to_expiry) * density(at.d1) * at.root


def theta(
    spot: Tensor,
    strike: Tensor,
    time_to_expiry: Tensor,
    volatility: Tensor,
    call: bool | Tensor = True,
    rate: Number = 0.0,
    carry: Number = 0.0,
) -> Tensor:
    """∂V/∂t in calendar time, quote currency per year."""
    return greeks(spot, strike, time_to_expiry, volatility, call, rate, carry).theta


def vanna(
    spot: Tensor, strike: Tensor, time_to_expiry: Tensor, volatility: Tensor, rate: Number = 0.0, carry: Number = 0.0
) -> Tensor:
    """∂²V/∂S∂σ = −e^{(b−r)τ}·n(d1)·d2/σ of calls and puts, base units per unit of volatility; 0 once σ√τ = 0."""
    at = _terms(spot, strike, time_to_expiry, volatility, carry)
    return -compounded(carry - rate, time_to_expiry) * density(at.d1) * at.d2 * at.root * at.alive / at.deviation


def volga(
    spot: Tensor, strike: Tensor, time_to_expiry: Tensor, volatility: Tensor, rate: Number = 0.0, carry: Number = 0.0
) -> Tensor:
    """∂²V/∂σ² = vega·d1·d2/σ of calls and puts, quote currency per unit of volatility squared; 0 once σ√τ = 0."""
    at = _terms(spot, strike, time_to_expiry, volatility, carry)
    scale = spot * compounded(carry - rate, time_to_expiry) * at.root.square() * at.alive
    return scale * (density(at.d1) * at.d1 * at.d2) / at.deviation


def greeks(
    spot: Tensor,
    strike: Tensor,
    time_to_expiry: Tensor,
    volatility: Tensor,
    call: bool | Tensor = True,
    rate: Number = 0.0,
    carry: Number = 0.0,
) -> Greeks:
    """Price, delta, gamma, vega and theta at the cost of little more than the price.

    Theta is the Black–Scholes equation itself: V_t = rV − bS·V_S − ½σ²S²·V_SS.
    """
    at, side = _terms(spot, strike, time_to_expiry, volatility, carry), sign(call, spot.dtype)
    growth, n = compounded(carry - rate, time_to_expiry), density(at.d1)
    slope = side * growth * ndtr(side * at.d1)
    asset = spot * slope
    value = asset - side * compounded(-rate, time_to_expiry) * strike * ndtr(side * at.d2)
    curvature = growth * _spot_gamma(at, strike, n)
    scale = spot * volatility
    decay = scale * (scale * curvature) * -0.5
    if not (_absent(rate) and _absent(carry)):
        decay = decay + rate * value - carry * asset
    return Greeks(value, slope, curvature, growth * spot * n * at.root, decay)


def _spot_gamma(at: _Terms, strike: Tensor, n: Tensor) -> Tensor:
    """n(d1)/(S·σ√τ), with S = K·(S/K) kept from zero."""
    return n * at.alive / at.deviation / at.moneyness / strike
