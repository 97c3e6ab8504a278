"""What a venue asks for each lot, in expectation, beyond what the lot will be worth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from serve.clock import YEAR
from serve.ledger import ZERO
from serve.router.books import Snapshot
from serve.router.split import Offer, Run

FLEETING = 1 / math.sqrt(2 * math.pi)  # E[max(Z, 0)] of a standard normal Z
Priced = tuple[Decimal, float]  # units, and what each costs


@dataclass(frozen=True)
class Want:
    """An order, as far as its price goes."""

    buying: bool
    limit: Decimal
    lot: Decimal  # base units
    reduce_only: bool

    @property
    def sign(self) -> int:
        return 1 if self.buying else -1


@dataclass(frozen=True)
class Terms:
    """What trading one leg at one venue comes to, beside the book's prices."""

    venue: str
    fee: float  # of a taker, fraction of the notional; a rebate is negative
    gas: float  # quote currency per order
    latency: float  # milliseconds until an order is at the book
    kept: float  # share of the mark's distance from the index that is still there when the hedge ends
    held: Decimal  # base units of the leg at the venue
    grows: bool  # whether an order may make that larger


@dataclass(frozen=True)
class Horizon:
    """What is expected of the hedge and of the market meanwhile."""

    holding: float  # milliseconds that the hedge is held
    volatility: float  # per √year, of the price while an order is on its way
    capital: float  # per year, fraction of the notional by which a position grows


def offer(terms: Terms, book: Snapshot, horizon: Horizon, want: Want, now: int) -> Offer:
    """The book's levels no worse than the limit, in lots; where nothing may grow, what there is to reduce."""
    apart = _worth(terms, book, horizon, want) + _fleeting(terms, book, horizon, now)
    units = list(_priced(terms, book, want, apart))
    shrinks = max(ZERO, -terms.held * want.sign)
    growth = horizon.capital * book.mark * horizon.holding / YEAR
    grows = ((each, cost + growth) for each, cost in _beyond(units, shrinks) if terms.grows and not want.reduce_only)
    return Offer(terms.venue, tuple(_runs([*_upto(units, shrinks), *grows], want.lot)), terms.gas)


def _priced(terms: Terms, book: Snapshot, want: Want, apart: float) -> Iterator[Priced]:
    for price, units in book.side(want.buying):
        if (want.limit - price) * want.sign >= 0:
            yield units, float(price) * (want.sign + terms.fee) + apart


def resting(terms: Terms, book: Snapshot, horizon: Horizon, want: Want) -> float:
    """Per unit, what an order costs that rests at its limit until it is taken."""
    return float(want.limit) * (want.sign + terms.fee) + _worth(terms, book, horizon, want)


def _worth(terms: Terms, book: Snapshot, horizon: Horizon, want: Want) -> float:
    """Per unit: the funding until the hedge ends, less what it is worth then."""
    worth = book.index + (book.mark - book.index) * terms.kept
    funding = book.funding_rate * book.mark * horizon.holding / YEAR
    return want.sign * (funding - worth)


def _fleeting(terms: Terms, book: Snapshot, horizon: Horizon, now: int) -> float:
    """Per unit, what is expected to be lost while an order is on its way.

    The price moves by about volatility·√time since the book was seen. A favourable move is taken by others first, so
    the loss is the mean of the unfavourable half, volatility·√time / √(2π).
    """
    delay = max(0.0, now - book.time) + terms.latency
    return FLEETING * horizon.volatility * math.sqrt(delay / YEAR) * book.mark


def _upto(priced: Iterable[Priced], most: Decimal) -> Iterator[Priced]:
    for units, cost in priced:
        if most > 0:
            yield min(units, most), cost
        most -= min(units, most)


def _beyond(priced: Iterable[Priced], skipped: Decimal) -> Iterator[Priced]:
    for units, cost in priced:
        gone = min(units, skipped)
        skipped -= gone
        if units > gone:
            yield units - gone, cost


def _runs(priced: Iterable[Priced], lot: Decimal) -> Iterator[Run]:
    """Whole lots; one that straddles levels costs what its parts do, and the last part of a lot is left."""
    begun, paid = ZERO, 0.0
    for units, cost in priced:
        if begun > 0:
            part = min(units, lot - begun)
            begun, paid, units = begun + part, paid + float(part) * cost, units - part
            if begun < lot:
                continue
            yield Run(paid, 1)
        whole, begun = divmod(units, lot)
        paid = float(begun) * cost
        if whole > 0:
            yield Run(float(lot) * cost, int(whole))
