"""An instrument's orders at rest, and how one that comes in trades against them: by price, then by time."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Literal

from serve.rehearsal.types import ZERO, Ending, Order

Name = Literal["bid", "ask"]
Changes = tuple[tuple[Name, Decimal, Decimal], ...]
Room = Callable[[Order, Decimal], tuple[Decimal, Ending]]
Trade = Callable[[Order, Order, Decimal], None]


class Side:
    """One side of a book. `sign`: 1 for bids, -1 for asks."""

    def __init__(self, sign: Literal[1, -1]) -> None:
        self.name: Name = "bid" if sign > 0 else "ask"
        self._sign = sign
        self._ranks: list[Decimal] = []  # sign × price, ascending: the best is the last
        self._queues: dict[Decimal, dict[int, Order]] = {}  # by price; oldest first
        self.touched: set[Decimal] = set()
        self._told: dict[Decimal, Decimal] = {}  # size by price, as last told

    @property
    def best(self) -> Decimal | None:
        return self._ranks[-1] * self._sign if self._ranks else None

    def crosses(self, price: Decimal) -> bool:
        """Whether an order of the other side at `price` would trade."""
        return bool(self._ranks) and self._ranks[-1] >= price * self._sign

    def first(self) -> Order:
        return next(iter(self._queues[self._ranks[-1] * self._sign].values()))

    def add(self, order: Order) -> None:
        queue = self._queues.get(order.price)
        if queue is None:
            queue = self._queues[order.price] = {}
            insort(self._ranks, order.price * self._sign)
        queue[order.order_id] = order
        self.touched.add(order.price)

    def remove(self, order: Order) -> None:
        queue = self._queues[order.price]
        del queue[order.order_id]
        self.touched.add(order.price)
        if not queue:
            del self._queues[order.price]
            del self._ranks[bisect_left(self._ranks, order.price * self._sign)]

    def walk(self) -> Iterator[Order]:
        """In the order in which they would trade."""
        for rank in reversed(self._ranks):
            yield from self._queues[rank * self._sign].values()

    def levels(self, depth: int | None = None) -> tuple[tuple[Decimal, Decimal], ...]:
        """Price and size, best first; the `depth` best of them."""
        ranks = self._ranks[::-1] if depth is None else self._ranks[: -depth - 1 : -1]
        return tuple((rank * self._sign, self._size(rank * self._sign)) for rank in ranks)

    def changes(self) -> Changes:
        """Sizes that are others than when last asked, lowest price first."""
        sizes = {price: self._size(price) for price in sorted(self.touched)}
        self.touched.clear()
        changed = tuple(
            (self.name, price, size) for price, size in sizes.items() if self._told.get(price, ZERO) != size
        )
        for _, price, size in changed:
            self._told[price] = size
            if not size:
                del self._told[price]
        return changed

    def _size(self, price: Decimal) -> Decimal:
        return sum((order.left for order in self._queues.get(price, {}).values()), ZERO)


class Book:
    """Both sides. It is never crossed: what would cross has traded or is gone."""

    def __init__(self) -> None:
        self.bids, self.asks = Side(1), Side(-1)
        self.sequence = 0

    def side(self, units: Decimal) -> Side:
        """Where an order of these units rests."""
        return self.bids if units > 0 else self.asks

    def against(self, units: Decimal) -> Side:
        return self.asks if units > 0 else self.bids

    def changes(self) -> Changes:
        """What the public has not been told of yet; a number of its own if it is anything."""
        changes = self.bids.changes() + self.asks.changes() if self.bids.touched or self.asks.touched else ()
        self.sequence += bool(changes)
        return changes

    def fillable(self, order: Order, room: Room) -> Decimal:
        """How much of an order the book would fill at once, no sign."""
        traded: dict[str, Decimal] = {}  # signed, by account that rests
        filled = ZERO
        for resting in self.against(order.units).walk():
            if filled == order.left or not self._within(order, resting.price) or resting.account == order.account:
                break
            before = traded.get(resting.account, ZERO)
            size = min(order.left - filled, resting.left, room(resting, before)[0])
            traded[resting.account] = before + size.copy_sign(resting.units)
            filled += size
        return min(filled, room(order, ZERO)[0])

    def match(self, order: Order, room: Room, trade: Trade, end: Callable[[Order, Ending], None]) -> Ending | None:
        """Trades an order as far as it goes. None: what is left may rest; else why it may not.

        `room`: how much more an order may fill now, after its account traded so much more, and what ends it where
        that is nothing. `trade` books one; `end` tells of a resting order that may fill no more.
        """
        side = self.against(order.units)
        while order.left and side.crosses(order.price):
            resting = side.first()
            if resting.account == order.account:
                return "self_match"
            most, ending = room(order, ZERO)
            if not most:
                return ending
            theirs, why = room(resting, ZERO)
            if theirs:
                trade(order, resting, min(most, theirs))
                side.touched.add(resting.price)
            if not resting.left:
                side.remove(resting)
            elif not theirs:
                end(resting, why)
        return None

    @staticmethod
    def _within(order: Order, price: Decimal) -> bool:
        return order.price >= price if order.units > 0 else order.price <= price
