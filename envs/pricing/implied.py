"""Implied volatility by Halley's method on the logarithm of the price, after Jäckel, Let's Be Rational (2015).

The option is turned into its out-of-the-money twin by put–call parity and normalised: x = −|ln(F/K)|, s = σ√τ, h = x/s,
t = s/2, b = price·e^{rτ}/√(FK) between 0 and e^{x/2}. Below the inflexion of b(s), at s² = 2|x|, 1/ln b is close to
linear in s², and above it ln(e^{x/2} − b) is close to a parabola in s; both stay so in wings of 10⁻²²⁰. Every element
takes the same few steps, each kept on its own side of the inflexion.

What can be had: the price's own error (its rounding) over vega. Out of the money that is 1e-10, relative, or better in
float64 down to prices of 1e-220 wherever σ√τ > 1e-4; float32 gives 1e-5 for σ√τ > 0.1 and loses a digit with
every digit less. In the money the time value is what rounding left of price − intrinsic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from envs.pricing.black_scholes import Number, compounded, ndtr, sign

STEPS = 7


@dataclass(frozen=True)
class Implied:
    """Volatilities, and where they mean anything; one shape."""

    volatility: Tensor  # per √year; 0 where not valid
    valid: (
        Tensor  # bool: the price stands strictly between intrinsic value and its upper bound, and all input is finite
    )


def implied_volatility(
    price: Tensor,
    spot: Tensor,
    strike: Tensor,
    time_to_expiry: Tensor,
    call: bool | Tensor = True,
    rate: Number = 0.0,
    carry: Number = 0.0,
) -> Implied:
    """The volatility at which `black_scholes.price` is `price`; arguments as there, broadcast; no gradient.

    A price at or outside the bounds of no arbitrage has no volatility: it is marked, not raised, since a chain of
    quotes always holds some. Coin prices (`inverse`) are to be multiplied by the spot first.
    """
    with torch.no_grad():
        forward = spot * compounded(carry, time_to_expiry)
        side, scale = sign(call, price.dtype), torch.sqrt(forward * strike)
        undiscounted = price * compounded(rate, time_to_expiry)
        time_value = undiscounted - (side * (forward - strike)).clamp(min=0)
        x = -torch.log(forward / strike).abs()
        b = time_value / scale
        room = torch.exp(x / 2) - b
        valid = (b > 0) & (room > 0) & (time_to_expiry > 0) & x.isfinite() & b.isfinite()
        b, room, x = (torch.where(valid, *pair) for pair in ((b, 0.1), (room, 0.9), (x, 0.0)))
        deviation = normalised_deviation(b, room, x)
        return Implied(torch.where(valid, deviation / time_to_expiry.clamp(min=0).sqrt(), 0.0), valid)


def normalised_deviation(b: Tensor, room: Tensor, x: Tensor) -> Tensor:
    """s at which the normalised price is `b`, where room = e^{x/2} − b, both positive, and x ≤ 0."""
    turn = torch.sqrt(-2 * x)
    at_turn = torch.exp(x / 2) / 2 * (1 - torch.special.erfcx(torch.sqrt(-x)))
    low = b < at_turn
    target = torch.where(low, b, room).log()
    inner = turn * torch.sqrt(torch.where(low, at_turn, 0.5).log() / torch.where(low, target, -1.0))
    outer = torch.maximum(-2 * torch.special.ndtri(room / (2 * torch.cosh(x / 2))), turn)
    floor, ceiling = torch.where(low, 0.0, turn), torch.where(low, turn, torch.inf)
    s = torch.where(low, inner, outer)
    for _ in range(STEPS):
        step, curvature = _below(s, x, target), _above(s, x, target)
        newton, bend = (torch.where(low, *pair) for pair in zip(step, curvature, strict=True))
        moved = s + newton / (1 + newton * bend / 2).clamp(min=0.5)
        s = torch.minimum(torch.maximum(moved, torch.maximum(floor, s / 4)), ceiling)
    return s


def _below(s: Tensor, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Newton's step and f″/f′ of f(s) = 1/ln b − 1/target, where b = ½e^{−(h²+t²)/2}·(erfcx(a₋) − erfcx(a₊)),

    a± = (|h| ± t)/√2.
    """
    h, t = -x / s, s / 2
    share = (torch.special.erfcx((h - t) * math.sqrt(0.5)) - torch.special.erfcx((h + t) * math.sqrt(0.5))) / 2
    log_b = share.log() - (h.square() + t.square()) / 2
    slope = 1 / (math.sqrt(2 * math.pi) * share)
    bend = h.square() / s - s / 4
    return log_b * (1 - log_b / target) / slope, bend - slope - 2 * slope / log_b


def _above(s: Tensor, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Newton's step and f″/f′ of f(s) = ln c − target, where c = e^{x/2} − b = e^{x/2}·N(−d1) + e^{−x/2}·N(d2)."""
    h, t = x / s, s / 2
    room = torch.exp(x / 2) * ndtr(-h - t) + torch.exp(-x / 2) * ndtr(h - t)
    slope = torch.exp(-(h.square() + t.square()) / 2) / (math.sqrt(2 * math.pi) * room)
    bend = h.square() / s - s / 4
    return (room.log() - target) / slope, bend + slope
