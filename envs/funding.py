"""The perpetual's premium over its index, and the funding rate that Binance's formula makes of it."""

from __future__ import annotations

import math

from torch import Tensor

from envs.calibration import Funding
from envs.types import HOUR

INTERVAL = 8 * HOUR  # years between Binance's funding times
INTEREST = 1e-4  # per interval
DAMPER = 5e-4  # per interval
CAP = 3e-3  # per interval


def funding_rate(premium: Tensor) -> Tensor:
    """Funding per year for a `premium` per interval: P + clamp(interest − P, ±0.05 %), capped.

    Binance, "Introduction to Binance Futures Funding Rates".
    """
    rate: Tensor = (premium + (INTEREST - premium).clamp(-DAMPER, DAMPER)).clamp(-CAP, CAP) / INTERVAL
    return rate


def next_premium(funding: Funding, premium: Tensor, noise: Tensor, bar: float) -> Tensor:
    """AR(1) with the given 8-hour persistence, one bar of `bar` years on; `noise` standard normal."""
    persistence = funding.persistence ** (bar / INTERVAL)
    scale = funding.premium_std * math.sqrt(1 - persistence**2)
    following: Tensor = funding.mean_premium + persistence * (premium - funding.mean_premium) + scale * noise
    return following


def stationary_premium(funding: Funding, noise: Tensor) -> Tensor:
    return funding.mean_premium + funding.premium_std * noise
