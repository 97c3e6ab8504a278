"""The perpetual's premium over its index, and the funding rate that each venue's formula makes of it."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from envs.calibration import Funding
from envs.types import HOUR

INTERVAL = 8 * HOUR  # years that a premium and a rate refer to, at every venue
INTEREST = 1e-4  # per 8 h
DAMPER = 5e-4  # per 8 h
CAP = 3e-3  # per 8 h, Binance: 0.75 of BTC's first maintenance rate
DERIBIT_DAMPER = 2.5e-4  # per 8 h
DERIBIT_CAP = 5e-3  # per 8 h; the venue sets one for each instrument
HYPERLIQUID_CAP = 0.04  # per hour


def binance(premium: Tensor) -> Tensor:
    """P + clamp(interest − P, ±0.05 %), capped: `premium` per 8 h, funding per year.

    Binance, "Introduction to Binance Futures Funding Rates".
    """
    rate: Tensor = _interested(premium).clamp(-CAP, CAP) / INTERVAL
    return rate


def deribit(premium: Tensor) -> Tensor:
    """max(0.025 %, P) + min(−0.025 %, P), capped: `premium` per 8 h, funding per year.

    Deribit, support article 31424939178397, "Funding Specifications".
    """
    damped = premium.clamp(min=DERIBIT_DAMPER) + premium.clamp(max=-DERIBIT_DAMPER)
    rate: Tensor = damped.clamp(-DERIBIT_CAP, DERIBIT_CAP) / INTERVAL
    return rate


def hyperliquid(premium: Tensor) -> Tensor:
    """P + clamp(interest − P, ±0.05 %), an eighth of it each hour, capped there: `premium` per 8 h, funding per year.

    Hyperliquid Docs, Trading, "Funding".
    """
    hourly: Tensor = (_interested(premium) / 8).clamp(-HYPERLIQUID_CAP, HYPERLIQUID_CAP)
    return hourly / HOUR


VENUES: dict[str, Callable[[Tensor], Tensor]] = {"binance": binance, "deribit": deribit, "hyperliquid": hyperliquid}


def funding_rate(premium: Tensor, at: str = "binance") -> Tensor:
    """Funding per year, paid by longs to shorts, for a `premium` per 8 h at the venue `at`, one of VENUES."""
    return VENUES[at](premium)


def next_premium(funding: Funding, premium: Tensor, noise: Tensor, bar: float) -> Tensor:
    """AR(1) with the given 8-hour persistence, one bar of `bar` years on; `noise` standard normal."""
    persistence = funding.persistence ** (bar / INTERVAL)
    scale = funding.premium_std * math.sqrt(1 - persistence**2)
    following: Tensor = funding.mean_premium + persistence * (premium - funding.mean_premium) + scale * noise
    return following


def stationary_premium(funding: Funding, noise: Tensor) -> Tensor:
    return funding.mean_premium + funding.premium_std * noise


def _interested(premium: Tensor) -> Tensor:
    return premium + (INTEREST - premium).clamp(-DAMPER, DAMPER)
