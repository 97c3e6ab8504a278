"""The paper venue: orders fill at once against the last quote, by the simulator's own fill model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

import torch

from envs import costs
from envs.contract import Contract
from serve.clock import YEAR
from serve.commands import CancelOrder, LookUp, SubmitOrder
from serve.events import Absent, Acknowledged, BarClosed, Cancelled, Event, Filled, FundingPaid, QuoteEvent, Rejected
from serve.market import quote_tensors

_CENT_PARTS = Decimal("1e-8")


class Paper:
    """Idempotent by order id: an id seen before is answered as it was the first time, and nothing fills again."""

    def __init__(self, contract: Contract, lot: Decimal) -> None:
        self._contract, self._lot = contract, lot
        self._quote: QuoteEvent | None = None
        self._answers: dict[str, tuple[Event, ...]] = {}
        self._position = Decimal(0)
        self._accrued_at: int | None = None
        self._accruing: QuoteEvent | None = None  # the quote at that time

    def show(self, quote: QuoteEvent) -> None:
        """The market from here on."""
        self._quote = quote
        if self._accruing is None:
            self._accrued_at, self._accruing = quote.time, quote

    def submit(self, order: SubmitOrder) -> tuple[Event, ...]:
        if order.order not in self._answers:
            self._answers[order.order] = answer = self._matched(order)
            self._position += sum((event.units for event in answer if isinstance(event, Filled)), Decimal(0))
        return self._told(order.order, order.time)

    def cancel(self, order: CancelOrder) -> tuple[Event, ...]:
        """Nothing: no order rests here."""
        return ()

    def look_up(self, order: LookUp) -> tuple[Event, ...]:
        return self._told(order.order, order.time) or (Absent(order.time, order.order),)

    def accrue(self, now: int) -> tuple[Event, ...]:
        """Funding since the last call, at the mark and rate of that time; longs pay a positive rate."""
        before, at = self._accrued_at, self._accruing
        self._accrued_at, self._accruing = now, self._quote
        if before is None or at is None or self._position == 0 or now <= before:
            return ()
        rate = Decimal(at.funding_rate) * (now - before) / YEAR
        paid = (self._position * Decimal(at.mark) * rate).quantize(_CENT_PARTS)
        return (FundingPaid(now, -paid),)

    def remember(self, events: Iterable[Event]) -> None:
        """What the journal says this venue did before a restart."""
        for event in events:
            if isinstance(event, QuoteEvent):
                self.show(event)
            elif isinstance(event, Acknowledged | Filled | Cancelled | Rejected):
                self._answers[event.order] = (*self._answers.get(event.order, ()), event)
                self._position += event.units if isinstance(event, Filled) else 0
            if isinstance(event, FundingPaid | BarClosed):
                self._accrued_at, self._accruing = event.time, self._quote

    def _told(self, order: str, now: int) -> tuple[Event, ...]:
        return tuple(replace(event, time=now) for event in self._answers.get(order, ()))

    def _matched(self, order: SubmitOrder) -> tuple[Event, ...]:
        if self._quote is None:
            return (Rejected(order.time, order.order, "no market yet"),)
        if order.units == 0 or order.units % self._lot != 0:
            return (Rejected(order.time, order.order, f"{order.units} is no whole number of lots of {self._lot}"),)
        price = self._price(order.units, self._quote)
        taken = Acknowledged(order.time, order.order)
        if (price - order.limit) * order.units > 0:
            return (taken, Cancelled(order.time, order.order))
        fee = (Decimal(str(self._contract.fee_rate)) * abs(order.units) * price).quantize(_CENT_PARTS)
        return (taken, Filled(order.time, order.order, f"{order.order}/1", order.units, price, fee))

    def _price(self, units: Decimal, quote: QuoteEvent) -> Decimal:
        trade = torch.tensor([[float(units)]], dtype=torch.float64)
        return Decimal(costs.fill_price(quote_tensors(quote), trade, self._contract.impact).item()).quantize(
            _CENT_PARTS
        )
