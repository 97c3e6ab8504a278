"""What options are worth to the rehearsal exchange: Black–Scholes without rates at a smile, in plain numbers.

The hedger's own pricing is batched tensors (`envs.pricing`); one option at a time costs this a hundredth of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, exp, log, pi, sqrt

from serve.clock import YEAR
from serve.rehearsal.types import Instrument
from serve.rehearsal.views import Greeks

SKEW, CURVATURE = -0.05, 0.04  # of the volatility, by how many deviations the strike is away
NARROW, WIDE = 0.05, 4.0  # volatilities that a price is searched between
WING = 3.0  # deviations beyond which the smile is flat


@dataclass(frozen=True, slots=True)
class Terms:
    """Of a European option: `years` above 0, `sign` 1 for a call and -1 for a put."""

    strike: float
    years: float
    sign: int

    @classmethod
    def of(cls, option: Instrument, now: int) -> Terms:
        assert option.strike is not None
        assert option.expiry is not None
        years = max(option.expiry - now, 1_000) / YEAR
        return cls(float(option.strike), years, 1 if option.right == "call" else -1)


def smile(at_the_money: float, terms: Terms, spot: float) -> float:
    away = log(terms.strike / spot) / (at_the_money * sqrt(terms.years))
    away = max(-WING, min(WING, away))
    return at_the_money * (1 + SKEW * away + CURVATURE * away * away)


def price(terms: Terms, spot: float, volatility: float) -> float:
    """Black and Scholes (1973), rate and dividend 0."""
    first, second = _distances(terms, spot, volatility)
    return terms.sign * (spot * _below(terms.sign * first) - terms.strike * _below(terms.sign * second))


def greeks(terms: Terms, spot: float, volatility: float) -> Greeks:
    first, _ = _distances(terms, spot, volatility)
    density, root = exp(-first * first / 2) / sqrt(2 * pi), sqrt(terms.years)
    delta = _below(first) - (terms.sign < 0)
    theta = -spot * density * volatility / (2 * root)
    return Greeks(delta, density / (spot * volatility * root), spot * density * root, theta)


def implied(terms: Terms, spot: float, value: float) -> float:
    """The volatility at which an option is worth `value`, by halving; the nearer end where none between is."""
    low, high = NARROW, WIDE
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if price(terms, spot, middle) < value else (low, middle)
    return (low + high) / 2


def _distances(terms: Terms, spot: float, volatility: float) -> tuple[float, float]:
    width = volatility * sqrt(terms.years)
    first = log(spot / terms.strike) / width + width / 2
    return first, first - width


def _below(x: float) -> float:
    """The normal distribution."""
    return erfc(-x / sqrt(2)) / 2
