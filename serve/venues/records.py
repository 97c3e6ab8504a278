"""What the paper venue told us of every order, and the account that came of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from serve.commands import SubmitOrder
from serve.events import Acknowledged, Cancelled, Deleveraged, Event, Filled, FundingPaid, Rejected
from serve.ledger import ZERO, Ledger

Answer = Acknowledged | Filled | Cancelled | Rejected
Booked = Answer | Deleveraged | FundingPaid
KEPT = 1024  # orders remembered after their end: many more than are sent within an order's life


class Records:
    def __init__(self) -> None:
        self.ledger = Ledger()
        self.made = 0  # orders that were answered, ever
        self._orders: dict[str, SubmitOrder] = {}
        self._answers: dict[str, tuple[Answer, ...]] = {}
        self._ended: deque[str] = deque()

    def __contains__(self, order: str) -> bool:
        return order in self._answers

    def told(self, order: str, now: int) -> tuple[Answer, ...]:
        """All answers to an order, as told anew."""
        return tuple(replace(event, time=now) for event in self._answers.get(order, ()))

    def sent(self, order: SubmitOrder) -> None:
        """An order that answers may follow to."""
        self._orders.setdefault(order.order, order)

    def news(self, event: Booked) -> bool:
        """Whether a journalled event is one of ours that was not booked yet: a look-up journals answers once more."""
        if isinstance(event, Deleveraged | FundingPaid):
            return True
        return event.order in self._orders and replace(event, time=0) not in self.told(event.order, 0)

    def booked(self, *events: Booked) -> tuple[Event, ...]:
        """The events, once they are in the answers and in the account."""
        for event in events:
            if isinstance(event, FundingPaid):
                self.ledger = self.ledger.funded(event.symbol, event.cash)
            elif isinstance(event, Deleveraged):
                self.ledger = self.ledger.filled(event.symbol, event.units, event.price, ZERO)
            else:
                self._answered(event)
        return events

    def reducing(self, order: SubmitOrder, units: Decimal) -> Decimal:
        """What of the `units` may fill: of a reduce-only order no more than is held the other way."""
        if not order.reduce_only:
            return units
        held = self.ledger.position(order.symbol)
        return min(abs(units), abs(held)).copy_sign(units) if units * held < 0 else ZERO

    def unfinished(self) -> Iterator[tuple[SubmitOrder, tuple[Answer, ...]]]:
        """Every order that may still fill, and what was told of it."""
        for name, order in self._orders.items():
            if self._left(name) != 0:
                yield order, self._answers.get(name, ())

    def _left(self, name: str) -> Decimal:
        """Units that may still fill."""
        answers = self._answers.get(name, ())
        if answers and isinstance(answers[-1], Rejected | Cancelled):
            return ZERO
        return self._orders[name].units - sum((each.units for each in answers if isinstance(each, Filled)), ZERO)

    def _answered(self, event: Answer) -> None:
        name = event.order
        self.made += name not in self._answers
        self._answers[name] = (*self._answers.get(name, ()), event)
        if isinstance(event, Filled):
            self.ledger = self.ledger.filled(self._orders[name].symbol, event.units, event.price, event.fee)
        if self._left(name) == 0:
            self._ended.append(name)
        if len(self._ended) > KEPT:
            old = self._ended.popleft()
            del self._orders[old], self._answers[old]
