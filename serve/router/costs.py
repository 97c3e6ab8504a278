"""What a route asks for each lot, in expectation, beyond what the lot will be worth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from serve.clock import YEAR
from serve.router.books import Level, Snapshot
from serve.router.split import Offer, Run

FLEETING = 1 / math.sqrt(2 * math.pi)  # E[max(Z, 0)] of a standard normal Z


@dataclass(frozen=True)
class Terms:
    """What trading on one route costs beside the book's prices."""

    route: str
    fee: float  # of a taker, fraction of the notional; a rebate is negative
    gas: float  # quote currency per order
    latency: float  # milliseconds until an order is at the book
    kept: float  # share of the mark's distance from the index that is still there when the hedge ends


@dataclass(frozen=True)
class Horizon:
    """What is expected of the hedge and of the market meanwhile."""

    holding: float  # milliseconds that the hedge is held
    volatility: float  # per √year, of the price while an order is on its way


def offer(terms: Terms, book: Snapshot, horizon: Horizon, limit: Decimal, lot: Decimal, buying: bool, now: int) -> Offer:
    """What the book's levels no worse than `limit` come to, in lots of `lot` base units."""
    within = [each for each in book.side(buying) if (each.price <= limit if buying else each.price >= limit)]
    apart = _apart(terms, book, horizon, buying, now)
    sign = 1 if buying else -1
    costs = [float(each.price) * (sign + terms.fee) + apart for each in within]
    return Offer(terms.route, tuple(_runs(within, costs, lot)), terms.gas)


def _apart(terms: Terms, book: Snapshot, horizon: Horizon, buying: bool, now: int) -> float:
    """Per unit, whichever level it comes from: less its worth, with the funding, and with what may come in between.

    While the order is on its way the price moves by about volatility·√latency. A favourable move is taken by others
    first, so what is expected of it is the mean of the unfavourable half, volatility·√latency / √(2π).
    """
    sign = 1 if buying else -1
    worth = book.index + (book.mark - book.index) * terms.kept
    funding = book.funding_rate * book.mark * horizon.holding / YEAR
    delay = max(0.0, now - book.time) + terms.latency
    return sign * (funding - worth) + FLEETING * horizon.volatility * math.sqrt(delay / YEAR) * book.mark


def _runs(levels: Sequence[Level], costs: Iterable[float], lot: Decimal) -> Iterator[Run]:
    """Whole lots; one that straddles levels costs what its parts do, and the last part of a lot is left."""
    begun, paid = Decimal(0), 0.0
    for level, cost in zip(levels, costs, strict=True):
        units = level.units
        if begun > 0:
            part = min(units, lot - begun)
            begun, paid, units = begun + part, paid + float(part) * cost, units - part
            if begun < lot:
                continue
            yield Run(paid, 1)
            begun, paid = Decimal(0), 0.0
        whole, begun = divmod(units, lot)
        paid = float(begun) * cost
        if whole > 0:
            yield Run(float(lot) * cost, int(whole))
