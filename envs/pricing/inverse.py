"""Inverse (coin-settled) options as Deribit lists them: quoted, margined and paid in the coin that they are written on.

Deribit, "Inverse Options" and "Expiration Price" (support pages, read 2026): European, one coin per contract, paid
max(S − K, 0)/S in coin, with S the time-weighted average of the index over the last half hour. Worth in quote currency
that is an ordinary option, so its price in coin is the Black–Scholes price over the spot (no rate, no carry), and its
profit in coin is the change of that. Arguments as in `black_scholes`; coin prices are per contract.
"""

from __future__ import annotations

import torch
from torch import Tensor

from envs.pricing import black_scholes
from envs.pricing.black_scholes import sign
from envs.types import HOUR, Greeks

WINDOW = HOUR / 2  # years over which the index is averaged for settlement


def payoff(settlement: Tensor, strike: Tensor, call: bool | Tensor = True) -> Tensor:
    """max(φ(S − K), 0)/S in coin."""
    return (sign(call, settlement.dtype) * (settlement - strike)).clamp(min=0) / settlement


def price(
    spot: Tensor, strike: Tensor, time_to_expiry: Tensor, volatility: Tensor, call: bool | Tensor = True
) -> Tensor:
    """Coin per contract."""
    return black_scholes.price(spot, strike, time_to_expiry, volatility, call) / spot


def greeks(
    spot: Tensor, strike: Tensor, time_to_expiry: Tensor, volatility: Tensor, call: bool | Tensor = True
) -> Greeks:
    """Of v = V/S in coin: delta is the premium-adjusted ∂V/∂S − V/S = S·∂v/∂S = φ·K/S·N(φd2), and gamma its slope.

    Short of delta coins an option's worth in coin does not move. Reiswich and Wystup (2010), "A Guide to FX Options
    Quoting Conventions", Journal of Derivatives 18(2), 58.
    """
    plain = black_scholes.greeks(spot, strike, time_to_expiry, volatility, call)
    value = plain.value / spot
    delta = plain.delta - value
    return Greeks(value, delta, plain.gamma - delta / spot, plain.vega / spot, plain.theta / spot)


def future_profit(notional: Tensor, entry: Tensor, mark: Tensor) -> Tensor:
    """Coin earned by an inverse future or perpetual of `notional` in quote currency: N·(1/entry − 1/mark)."""
    return notional / entry - notional / mark


def accrued(opening: Tensor, closing: Tensor, time_to_expiry: Tensor, bar: float, window: float = WINDOW) -> Tensor:
    """What one bar adds to the settlement index: ∫ index dt / window over its part inside the window.

    The index goes in a straight line from `opening` to `closing` over `bar` years; `time_to_expiry` is the close's.
    Over a contract's life this sums to the settlement; a last bar no shorter than the window gives it alone.
    """
    inside = ((time_to_expiry + bar).clamp(max=window) - time_to_expiry).clamp(min=0)
    return (closing - (closing - opening) * (inside / (2 * bar))) * (inside / window)


def settlement(opening: Tensor, closing: Tensor, bar: float, window: float = WINDOW) -> Tensor:
    """The settlement index of a contract that expires at the close of a bar of at least `window` years."""
    return accrued(opening, closing, torch.zeros_like(closing), bar, window)


def settlement_index(spot: Tensor, so_far: Tensor, time_to_expiry: Tensor, window: float = WINDOW) -> Tensor:
    """Expected settlement: `so_far`, the sum of `accrued`, plus the spot times the share of the window to come."""
    return so_far + spot * _ahead(time_to_expiry, window)


def settlement_time(spot: Tensor, so_far: Tensor, time_to_expiry: Tensor, window: float = WINDOW) -> Tensor:
    """Time, in years, at which σ²·time is the variance of the settlement's logarithm; for `time_to_expiry` in a price.

    τ − ⅔·window before the window opens (the mean of a Brownian motion over w has variance w/3); inside it
    (share·S/E[settlement])²·τ/3, with the share of the window to come. Both to first order in σ²·window, 6e-5 at 100 %.
    """
    share = _ahead(time_to_expiry, window)
    weight = share * spot / settlement_index(spot, so_far, time_to_expiry, window)
    return (time_to_expiry - window).clamp(min=0) + weight.square() * time_to_expiry.clamp(0, window) / 3


def _ahead(time_to_expiry: Tensor, window: float) -> Tensor:
    """Share of the averaging window that is still to come."""
    return time_to_expiry.clamp(0, window) / window
