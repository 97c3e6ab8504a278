"""What a decision is made of, and what it asks for."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from envs.volatility.memory import Memory
from serve.config import Target
from serve.events import QuoteEvent
from serve.holdings import Book
from serve.smile import Smile


@dataclass(frozen=True)
class Listing:
    """Terms of the option that a leg trades."""

    strike: float
    expiry: int


@dataclass(frozen=True, eq=False)
class Sight:
    """All that an observation is made of; tuples are in the order of the assets, or of the legs."""

    time: int
    quotes: tuple[QuoteEvent, ...]
    memories: tuple[Memory, ...]
    book: Book
    positions: tuple[Decimal, ...]  # per leg, base units
    cash: tuple[Decimal, ...]  # per leg, of its account since the book was last empty
    claims_cash: Decimal  # of the book since then
    coins: tuple[Decimal, ...]  # per asset, likewise
    listings: tuple[Listing | None, ...]  # per leg
    targets: tuple[Target, ...]  # per asset
    smiles: tuple[Smile | None, ...]  # per asset: its listed volatilities; None: the quote's and the model's


@dataclass(frozen=True, eq=False)
class Seen:
    """An observation's features and what it was made of."""

    sight: Sight
    features: tuple[float, ...]


@dataclass(frozen=True)
class Wish:
    """The band that a decision sets for one leg, over the book's base units, and the trade that it asks for."""

    lower: float
    upper: float
    trade: Decimal
