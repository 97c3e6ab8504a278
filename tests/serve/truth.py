"""A venue that never lies and is never in time: messages of it come in any order, twice, late or not at all."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from decimal import Decimal

from serve.commands import Ask, LookUp, SubmitOrder
from serve.events import (
    Absent,
    Acknowledged,
    BalanceReport,
    Cancelled,
    Event,
    Filled,
    OrdersReport,
    OutcomeUnknown,
    PositionsReport,
    Rejected,
)
from serve.orders import OrderEvent

ZERO = Decimal(0)
FEE = Decimal("0.1")


@dataclass
class Truth:
    """What really became of every order, and what was said of it."""

    sent: dict[str, SubmitOrder] = field(default_factory=dict)
    away: dict[str, SubmitOrder] = field(default_factory=dict)  # on the way to the venue
    left: dict[str, Decimal] = field(default_factory=dict)  # of the orders that work
    said: dict[str, list[OrderEvent]] = field(default_factory=lambda: defaultdict(list))
    positions: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    cash: Decimal = ZERO

    def takes(self, order: SubmitOrder) -> None:
        assert order.order not in self.sent, "an order sent twice"
        self.sent[order.order] = self.away[order.order] = order

    def arrives(self, name: str, now: int, rejected: bool) -> OrderEvent:
        order = self.away.pop(name)
        if rejected or now > order.expires_at:
            return self._says(Rejected(now, name, "busy"))
        self.left[name] = order.units
        return self._says(Acknowledged(now, name))

    def vanishes(self, name: str) -> None:
        del self.away[name]

    def fills(self, name: str, now: int, share: str) -> OrderEvent:
        """A part in whole lots, or the rest."""
        order, left = self.sent[name], self.left[name]
        part = (left * Decimal(share)).quantize(Decimal("0.001"))
        units = part if part else left
        self.left[name] = left - units
        if self.left[name] == 0:
            del self.left[name]
        self.positions[order.symbol] += units
        self.cash -= units * order.limit + FEE
        number = len(self.said[name])
        return self._says(Filled(now, name, f"{name}/{number}", units, order.limit, FEE))

    def ends(self, name: str, now: int) -> OrderEvent:
        del self.left[name]
        return self._says(Cancelled(now, name))

    def look_up(self, question: LookUp, now: int) -> list[Event]:
        known = self.said.get(question.order)
        return [replace(event, time=now) for event in known] if known else [Absent(now, question.order)]

    def report(self, question: Ask, now: int, symbols: tuple[str, ...]) -> Event:
        if question.what == "orders":
            return OrdersReport(now, tuple(self.left))
        if question.what == "positions":
            return PositionsReport(now, now, tuple((name, self.positions[name]) for name in symbols))
        return BalanceReport(now, now, self.cash, 0.0)

    def _says(self, event: OrderEvent) -> OrderEvent:
        self.said[event.order].append(event)
        return event


def unsure(name: str, now: int) -> OutcomeUnknown:
    return OutcomeUnknown(now, name, "no reply")
