"""The words every other file uses: units, the quote, and the one error for bad input.

Units, said once: time in years of 365 days; money in quote currency; variance and rates per year;
volatility = √variance; positions in base units. Batch axis first: P market paths, G books on each path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

HOURS_PER_YEAR = 8760
HOUR = 1.0 / HOURS_PER_YEAR


Bundle = TypeVar("Bundle")  # a dataclass of tensors with the paths on axis 0


class BadInput(ValueError):
    """Input that a person can mend: the message is one line that says what, where, and how to mend it."""


@dataclass(frozen=True)
class Quote:
    """What anyone can see of one asset's market at one time."""

    spot: Tensor  # (P,) index price, quote currency
    mark: Tensor  # (P,) perpetual mark price, quote currency
    half_spread: Tensor  # (P,) of the perpetual, as a fraction of its mark
    depth: Tensor  # (P,) quote currency resting within 5 bps of the perpetual's mark, one side
    funding_rate: Tensor  # (P,) per year, paid by longs to shorts
    implied_volatility: Tensor  # (P,) at the money, 30 days, per √year


def taken(bundle: Bundle, index: Tensor | slice) -> Bundle:
    """The chosen paths of a dataclass of tensors."""
    return type(bundle)(*(tensor[index] for tensor in vars(bundle).values()))
