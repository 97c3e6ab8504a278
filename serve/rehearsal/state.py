"""All that the rehearsal exchange remembers. The other files are functions on it; nothing else is kept anywhere."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict, deque
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from serve.rehearsal.accounts import BACKGROUND, INSURANCE, OUTSIDE, Accounts
from serve.rehearsal.matching import Book
from serve.rehearsal.tape import Tape
from serve.rehearsal.types import ZERO, Fill, Funded, Happening, Instrument, Order, Rules, Settled


@dataclass(slots=True)
class Index:
    """An asset's price elsewhere, and what its market is like."""

    price: Decimal
    time: int
    volatility: float
    past: deque[tuple[int, Decimal]] = field(default_factory=deque)  # the last half hour, for settlement


@dataclass(slots=True)
class Mark:
    """What an instrument is valued at."""

    price: Decimal
    basis: float = 0.0  # of a perpetual: smoothed premium over the index
    premium_time: float = 0.0  # ∫ premium dt since funding was paid last, milliseconds
    volatility: float = 0.0  # of an option


@dataclass(slots=True)
class Quoted:
    """What the makers last quoted around."""

    fair: float
    half_spread: float
    time: int
    index: float
    orders: list[Order]  # gone, those with nothing left


class State:
    """Empty accounts, no market yet."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.now = 0
        self.maintenance = False
        self.draws = Random(rules.seed)
        self.draws_of_futures = Random(f"{rules.seed} futures")  # so that the other markets are the same without them
        self.accounts = Accounts()
        self.accounts.pay(OUTSIDE, INSURANCE, rules.currency, rules.insurance)
        self.instruments = {each.name: each for each in rules.instruments}  # the expired too
        self.books = {each.name: Book() for each in rules.instruments}  # of those that are listed
        self.tapes = {each.name: Tape() for each in rules.instruments}
        self.haircuts = dict(rules.haircuts)
        self.indices: dict[str, Index] = {}
        self.marks: dict[str, Mark] = {}
        self.quoted: dict[str, Quoted] = {}
        self.orders: dict[int, Order] = {}  # open ones, and those of others than the background
        self.working: defaultdict[str, dict[int, Order]] = defaultdict(dict)  # open, by account
        self.by_client_id: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        self.fills: defaultdict[str, list[Fill]] = defaultdict(list)
        self.payments: defaultdict[str, list[Funded | Settled]] = defaultdict(list)
        self.dead_men: dict[str, int] = {}
        self.expiring: list[tuple[int, int]] = []  # a heap of times and orders
        self.funded_at = 0
        self.happenings: list[Happening] = []  # of the command in hand
        self._last = 0

    def number(self) -> int:
        """The next of orders, fills and trades."""
        self._last += 1
        return self._last

    def tell(self, happening: Happening) -> None:
        self.happenings.append(happening)

    def units(self, account: str, instrument: str) -> Decimal:
        return self.accounts.units(account, self.instruments[instrument])

    def chance(self, instrument: Instrument) -> Random:
        """What its background is drawn from."""
        return self.draws_of_futures if instrument.kind == "future" else self.draws

    def worth(self, currency: str) -> Decimal:
        """Of one unit, in the rules' currency; 0 while nothing is known of it."""
        if currency == self.rules.currency:
            return Decimal(1)
        return self.indices[currency].price if currency in self.indices else ZERO

    def digest(self) -> str:
        """SHA-256 of all that decides what follows."""
        text = json.dumps(self._picture(), default=str, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _picture(self) -> dict[str, object]:
        accounts = self.accounts
        return {
            "now": [self.now, self.maintenance, self._last, self.funded_at],
            "balances": {name: dict(sorted(held.items())) for name, held in accounts.balances.items()},
            "holdings": {n: {k: (h.units, h.cost) for k, h in held.items()} for n, held in accounts.holdings.items()},
            "orders": {key: [getattr(order, slot) for slot in Order.__slots__] for key, order in self.orders.items()},
            "indices": {name: (each.price, each.time, list(each.past)) for name, each in self.indices.items()},
            "marks": {name: (mark.price, mark.basis, mark.premium_time) for name, mark in self.marks.items()},
            "books": {
                name: (book.sequence, book.bids.levels(), book.asks.levels()) for name, book in self.books.items()
            },
            "dead_men": self.dead_men,
            "draws": [
                hashlib.sha256(repr(each.getstate()).encode()).hexdigest()
                for each in (self.draws, self.draws_of_futures)
            ],
        }


def outside(account: str) -> bool:
    """Whether it belongs to somebody: the background is not told, margined or liquidated."""
    return account not in BACKGROUND
