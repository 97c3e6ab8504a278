"""What a venue's order book shows, and several of them as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median
from typing import NamedTuple


class Level(NamedTuple):
    price: Decimal  # quote currency per base unit
    units: Decimal  # base units


@dataclass(frozen=True)
class Nature:
    """What a leg trades at a venue."""

    expiry: int | None = None  # milliseconds; of a dated future
    spot: bool = False  # it is owned, and never sold short


@dataclass(frozen=True)
class Snapshot:
    """One instrument's book at one time; both sides best first, and neither empty."""

    time: int  # milliseconds, when the venue showed it
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    mark: float
    index: float  # of the asset under it
    funding_rate: float  # per year, paid by longs to shorts; 0 where there is none

    def side(self, buying: bool) -> tuple[Level, ...]:
        """What an order takes from."""
        return self.asks if buying else self.bids


def together(books: Iterable[Snapshot]) -> Snapshot:
    """Books of one exposure as one, as old as the oldest; of two that cross each other, the merged book is crossed.

    Mark, index and funding are the medians. Raises ValueError where there is no book.
    """
    each = list(books)
    if not each:
        raise ValueError("no book to show")
    return Snapshot(
        time=min(one.time for one in each),
        bids=_merged([one.bids for one in each], best_high=True),
        asks=_merged([one.asks for one in each], best_high=False),
        mark=median(one.mark for one in each),
        index=median(one.index for one in each),
        funding_rate=median(one.funding_rate for one in each),
    )


def _merged(sides: Sequence[Sequence[Level]], best_high: bool) -> tuple[Level, ...]:
    """Levels at one price are one."""
    units: dict[Decimal, Decimal] = {}
    for level in (level for side in sides for level in side):
        units[level.price] = units.get(level.price, Decimal(0)) + level.units
    return tuple(Level(price, units[price]) for price in sorted(units, reverse=best_high))
