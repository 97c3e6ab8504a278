"""One position of the book that is to be hedged."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal


@dataclass(frozen=True)
class Holding:
    """What its kind does not have is None."""

    id: str
    asset: str
    kind: Literal["option", "spot", "perpetual", "future", "liquidity_position"]
    units: Decimal  # base units; short is negative
    expiry: int | None = None  # of an option or a dated future
    right: Literal["call", "put"] | None = None
    strike: float | None = None
    style: Literal["european", "american"] = "european"
    settlement: Literal["cash", "coin"] = "cash"
    lower: float | None = None  # of a liquidity position's range
    upper: float | None = None
    entry: float | None = None  # the spot at which a unit of a liquidity position is worth one base unit
