"""The paper venue: orders fill against the last quote, by the simulator's own fill model and with its mishaps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import ROUND_DOWN, Decimal

import numpy as np
import torch

from envs import costs
from envs.contract import Contract
from envs.costs import Fill, Schedule, Tradable
from serve.clock import YEAR
from serve.commands import CancelOrder, LookUp, SubmitOrder
from serve.config import Venue
from serve.events import Absent, Acknowledged, BarClosed, Cancelled, Event, Filled, FundingPaid, QuoteEvent, Rejected
from serve.market import DEVICE, DTYPE, one, quote_tensors

_CENT_PARTS = Decimal("1e-8")

Answer = Acknowledged | Filled | Cancelled | Rejected


class Paper:
    """Idempotent by order id: an id seen before is answered as it was the first time, and nothing fills again.

    What an order meets by chance is drawn from the settings' seed and the order's number.
    """

    def __init__(self, contract: Contract, settings: Venue) -> None:
        self._schedule = Schedule.of([contract.hedges[0].execution], DTYPE, DEVICE)
        self._lot, self._seed = settings.lot, settings.seed
        self._quote: QuoteEvent | None = None
        self._answers: dict[str, tuple[Event, ...]] = {}
        self._late: dict[str, SubmitOrder] = {}  # to fill when the bar ends
        self._position, self._traded = Decimal(0), Decimal(0)  # base units; notional so far
        self._accrued_at: int | None = None
        self._accruing: QuoteEvent | None = None  # the quote at that time

    def show(self, quote: QuoteEvent) -> None:
        """The market from here on."""
        self._quote = quote
        if self._accruing is None:
            self._accrued_at, self._accruing = quote.time, quote

    def submit(self, order: SubmitOrder) -> tuple[Event, ...]:
        if order.order not in self._answers:
            self._booked(*self._received(order))
        return self._told(order.order, order.time)

    def cancel(self, order: CancelOrder) -> tuple[Event, ...]:
        """Only an order that waits for the end of the bar can be cancelled."""
        waiting = self._late.pop(order.order, None)
        return () if waiting is None else self._booked(Cancelled(order.time, order.order))

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

    def bar_ended(self, now: int) -> tuple[Event, ...]:
        """The bar's funding, then the fills of the orders that were late."""
        late, self._late = self._late.values(), {}
        answers = [answer for order in late for answer in self._matched(replace(order, time=now))]
        return (*self.accrue(now), *self._booked(*answers))

    def remember(self, events: Iterable[Event]) -> None:
        """What the journal says this venue did before a restart; an order that was waiting is cancelled."""
        for event in events:
            if isinstance(event, QuoteEvent):
                self.show(event)
            elif isinstance(event, Answer) and replace(event, time=0) not in self._told(event.order, 0):
                self._booked(event)
            if isinstance(event, FundingPaid | BarClosed):
                self._accrued_at, self._accruing = event.time, self._quote
        for order, answer in self._answers.items():
            if isinstance(answer[-1], Acknowledged):
                self._booked(Cancelled(answer[-1].time, order))

    def _told(self, order: str, now: int) -> tuple[Event, ...]:
        return tuple(replace(event, time=now) for event in self._answers.get(order, ()))

    def _booked(self, *events: Answer) -> tuple[Answer, ...]:
        """The events, once they are in the answers and in the account."""
        for event in events:
            self._answers[event.order] = (*self._answers.get(event.order, ()), event)
            if isinstance(event, Filled):
                assert self._quote is not None, "nothing fills without a market"
                self._position += event.units
                self._traded += abs(event.units) * Decimal(self._quote.mark)
        return events

    def _received(self, order: SubmitOrder) -> tuple[Answer, ...]:
        """What becomes of a new order at once."""
        if self._quote is None:
            return (Rejected(order.time, order.order, "no market yet"),)
        if order.units == 0 or order.units % self._lot != 0:
            return (Rejected(order.time, order.order, f"{order.units} is no whole number of lots of {self._lot}"),)
        uniform, congestion = one(self._drawn()), one(self._quote.congestion)
        if costs.rejected(self._schedule, congestion, uniform).item():
            return (Rejected(order.time, order.order, f"too busy, congestion {self._quote.congestion:.0%}"),)
        taken = Acknowledged(order.time, order.order)
        if costs.late(self._schedule, congestion, uniform).item():
            self._late[order.order] = order
            return (taken,)
        return (taken, *self._matched(order))

    def _matched(self, order: SubmitOrder) -> tuple[Filled | Cancelled, ...]:
        """Immediate or cancel: what is within the order's limit and the book's depth fills, the rest is gone."""
        left = Cancelled(order.time, order.order)
        units = self._within(order.units)
        fill = self._fill(units)
        price, fee = _decimal(fill.price), _decimal(fill.fee + fill.gas)
        if units == 0 or (price - order.limit) * order.units > 0:
            return (left,)
        filled = Filled(order.time, order.order, f"{order.order}/1", units, price, fee)
        return (filled,) if units == order.units else (filled, left)

    def _drawn(self) -> float:
        """Uniform in [0, 1): the child of the seed that has a new order's number."""
        child = np.random.SeedSequence(self._seed, spawn_key=(len(self._answers),))
        return float(np.random.default_rng(child).random())

    def _within(self, units: Decimal) -> Decimal:
        """Whole lots of `units` that the depth allows."""
        most = self._fill(units).units.item()
        if most == float(units):
            return units
        return (Decimal(most) / self._lot).to_integral_value(ROUND_DOWN) * self._lot

    def _fill(self, units: Decimal) -> Fill:
        assert self._quote is not None, "nothing fills without a market"
        tradable = Tradable.perpetual(quote_tensors(self._quote))
        trade, traded = (one(float(value))[:, None, None] for value in (units, self._traded))
        return costs.fills(self._schedule, tradable, trade, traded)


def _decimal(value: torch.Tensor) -> Decimal:
    return Decimal(value.item()).quantize(_CENT_PARTS)
