"""What one asset's book and legs are worth at its last quote, with their greeks and what cases of stress would do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

Numbers = Sequence[float]


@dataclass(frozen=True)
class Worth:
    """Of a book, or of one unit of a leg. Quote currency, base units per 1 % of spot, quote currency per vol point."""

    value: float
    delta: float
    gamma: float
    vega: float
    stress: tuple[float, ...]  # change of value in each case


@dataclass(frozen=True)
class Valuation:
    spot: float
    book: Worth
    legs: Mapping[str, Worth]  # of the asset's legs, by symbol
    half_spreads: Mapping[str, float]  # fraction of the mark
    depths: Mapping[str, float]  # quote currency


def valuation(figures: Iterator[Numbers], symbols: Sequence[str], spot: float) -> Valuation:
    """Of what `Situation.worth` gives, row by row."""
    book, legs, half_spreads, depths = _worth(next(figures), next(figures), spot), {}, {}, {}
    for symbol in symbols:
        legs[symbol] = _worth(next(figures), next(figures), spot)
        (half_spreads[symbol],), (depths[symbol],) = next(figures), next(figures)
    return Valuation(spot, book, legs, half_spreads, depths)


def _worth(greeks: Numbers, stress: Numbers, spot: float) -> Worth:
    value, delta, gamma, vega = greeks
    return Worth(value, delta, gamma * spot / 100, vega / 100, tuple(stress))
