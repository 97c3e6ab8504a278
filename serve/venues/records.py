"""What the paper venue told us of every order, and the account that came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal

from serve.commands import SubmitOrder
from serve.events import Acknowledged, Cancelled, Deleveraged, Event, Filled, FundingPaid, Rejected
from serve.ledger import ZERO, Ledger

Answer = Acknowledged | Filled | Cancelled | Rejected
Booked = Answer | Deleveraged | FundingPaid


class Records:
    def __init__(self) -> None:
        self.ledger = Ledger()
        self.symbols: dict[str, str] = {}  # by order
        self._answers: dict[str, tuple[Answer, ...]] = {}

    def __len__(self) -> int:
        """Orders that were answered."""
        return len(self._answers)

    def __contains__(self, order: str) -> bool:
        return order in self._answers

    def told(self, order: str, now: int) -> tuple[Answer, ...]:
        """All answers to an order, as told anew."""
        return tuple(replace(event, time=now) for event in self._answers.get(order, ()))

    def news(self, event: Booked) -> bool:
        """Whether a journalled event is one of ours that was not booked yet: a look-up journals answers once more."""
        if isinstance(event, Deleveraged | FundingPaid):
            return True
        return event.order in self.symbols and replace(event, time=0) not in self.told(event.order, 0)

    def booked(self, *events: Booked) -> tuple[Event, ...]:
        """The events, once they are in the answers and in the account."""
        for event in events:
            if isinstance(event, FundingPaid):
                self.ledger = self.ledger.funded(event.symbol, event.cash)
            elif isinstance(event, Deleveraged):
                self.ledger = self.ledger.filled(event.symbol, event.units, event.price, ZERO)
            else:
                self._answers[event.order] = (*self._answers.get(event.order, ()), event)
            if isinstance(event, Filled):
                symbol = self.symbols[event.order]
                self.ledger = self.ledger.filled(symbol, event.units, event.price, event.fee)
        return events

    def reducing(self, order: SubmitOrder, units: Decimal) -> Decimal:
        """What of the `units` may fill: of a reduce-only order no more than is held the other way."""
        if not order.reduce_only:
            return units
        held = self.ledger.position(order.symbol)
        return min(abs(units), abs(held)).copy_sign(units) if units * held < 0 else ZERO

    def unfinished(self, sent: Mapping[str, SubmitOrder]) -> Iterator[Answer]:
        """The last answer to each order that may still fill."""
        for name, answers in self._answers.items():
            done = sum((each.units for each in answers if isinstance(each, Filled)), ZERO)
            if done != sent[name].units and not isinstance(answers[-1], Rejected | Cancelled):
                yield answers[-1]
