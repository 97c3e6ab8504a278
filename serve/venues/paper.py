"""The paper venue: orders fill against the last quote, by the simulator's own fill model and with its mishaps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import ROUND_DOWN, Decimal

import numpy as np
import torch

from envs import costs
from envs.costs import Fill, Schedule, Tradable
from envs.instrument import View
from envs.volatility.memory import Memory
from serve.clock import YEAR
from serve.commands import Ask, CancelOrder, LookUp, SubmitOrder
from serve.config import Venue
from serve.events import (
    Absent,
    Acknowledged,
    BalanceReport,
    BarClosed,
    Cancelled,
    Event,
    Filled,
    FundingPaid,
    Listed,
    OrdersReport,
    PositionsReport,
    QuoteEvent,
    Rejected,
)
from serve.holdings import DTYPE
from serve.market import DEVICE, Listing, Market, one, quote_tensors
from serve.state import State

_CENT_PARTS = Decimal("1e-8")

Answer = Acknowledged | Filled | Cancelled | Rejected


class Paper:
    """Idempotent by order id: an id seen before is answered as it was the first time, and nothing fills again.

    What an order meets by chance is drawn from the settings' seed and the order's number.
    """

    def __init__(self, market: Market, settings: Venue) -> None:
        self._market, self._seed = market, settings.seed
        hedges = zip(market.symbols, market.contract.hedges, strict=True)
        self._schedules = {symbol: Schedule.of([hedge.execution], DTYPE, DEVICE) for symbol, hedge in hedges}
        self._quotes: dict[str, QuoteEvent] = {}
        self._memories: dict[str, Memory] = {}
        self._listings: dict[str, Listing] = {}
        self._answers: dict[str, tuple[Event, ...]] = {}
        self._late: dict[str, SubmitOrder] = {}  # to fill when the bar ends
        self._orders: dict[str, str] = {}  # symbol by order
        self._positions = dict.fromkeys(market.symbols, Decimal(0))  # base units
        self._traded = dict.fromkeys(market.symbols, Decimal(0))  # notional so far
        self._cash = Decimal(0)
        self._now = 0
        self._accrued_at: dict[str, int] = {}
        self._accruing: dict[str, QuoteEvent] = {}  # the quotes at that time

    def show(self, quote: QuoteEvent, memory: Memory) -> None:
        """An asset's market from here on; `memory`: what its past leaves behind, for the surface of options."""
        self._quotes[quote.asset], self._memories[quote.asset] = quote, memory
        self._now = max(self._now, quote.time)
        if quote.asset not in self._accruing:
            self._accrued_at[quote.asset], self._accruing[quote.asset] = quote.time, quote

    def remembered(self, memories: Mapping[str, Memory]) -> None:
        """What each asset's past leaves behind after one more bar."""
        self._memories.update({asset: memories[asset] for asset in self._quotes})

    def listed(self, symbol: str, listing: Listing) -> None:
        """What an option leg trades from here on."""
        self._listings[symbol] = listing

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

    def report(self, question: Ask) -> tuple[Event, ...]:
        """As of now."""
        now = max(self._now, question.time)
        if question.what == "orders":
            return (OrdersReport(now, tuple(self._late)),)
        if question.what == "positions":
            return (PositionsReport(now, now, tuple(self._positions.items())),)
        return (BalanceReport(now, now, self._cash, 0.0),)

    def accrue(self, now: int, asset: str) -> tuple[Event, ...]:
        """An asset's funding since the last call, at the mark and rate of that time; longs pay a positive rate."""
        before, at = self._accrued_at.get(asset), self._accruing.get(asset)
        if asset in self._quotes:
            self._accrued_at[asset], self._accruing[asset] = now, self._quotes[asset]
        if before is None or at is None or now <= before:
            return ()
        rate = Decimal(at.funding_rate) * (now - before) / YEAR
        paid = []
        for symbol, position in self._positions.items():
            if position != 0 and self._market.asset_of[symbol] == asset and self._market.pays_funding(symbol):
                cash = -(position * Decimal(at.mark) * rate).quantize(_CENT_PARTS)
                self._cash += cash
                paid.append(FundingPaid(now, symbol, cash))
        return tuple(paid)

    def bar_ended(self, now: int) -> tuple[Event, ...]:
        """The bar's funding, then the fills of the orders that were late."""
        late, self._late = self._late.values(), {}
        answers = [answer for order in late for answer in self._matched(replace(order, time=now))]
        funding = [paid for asset in self._market.assets for paid in self.accrue(now, asset)]
        return (*funding, *self._booked(*answers))

    def remember(self, events: Iterable[Event], orders: Mapping[str, str], state: State | None) -> None:
        """What the journal says this venue did before a restart; an order that was waiting is cancelled.

        `orders`: the symbol of each. `state`: where the core stands, if there is any.
        """
        self._orders = dict(orders)
        for event in events:
            if isinstance(event, QuoteEvent) and state is not None and event.asset in state.pasts:
                self.show(event, state.pasts[event.asset].memory)
            elif isinstance(event, Listed):
                self.listed(event.symbol, Listing(event.strike, event.expiry))
            elif isinstance(event, Answer) and replace(event, time=0) not in self._told(event.order, 0):
                self._booked(event)
            else:
                self._remembered(event)
        for order, answer in self._answers.items():
            if isinstance(answer[-1], Acknowledged):
                self._booked(Cancelled(answer[-1].time, order))

    def _remembered(self, event: Event) -> None:
        """Funding that was paid, and up to when."""
        if isinstance(event, FundingPaid):
            self._cash += event.cash
            self._accrued(event.time, self._market.asset_of[event.symbol])
        elif isinstance(event, BarClosed):
            for asset in self._market.assets:
                self._accrued(event.time, asset)

    def _accrued(self, now: int, asset: str) -> None:
        if asset in self._quotes:
            self._accrued_at[asset], self._accruing[asset] = now, self._quotes[asset]

    def _told(self, order: str, now: int) -> tuple[Event, ...]:
        return tuple(replace(event, time=now) for event in self._answers.get(order, ()))

    def _booked(self, *events: Answer) -> tuple[Answer, ...]:
        """The events, once they are in the answers and in the account."""
        for event in events:
            self._answers[event.order] = (*self._answers.get(event.order, ()), event)
            if isinstance(event, Filled):
                symbol = self._orders[event.order]
                self._positions[symbol] += event.units
                self._cash -= event.units * event.price + event.fee
                self._traded[symbol] += abs(event.units) * Decimal(self._tradable(symbol, event.time).mark.item())
        return events

    def _received(self, order: SubmitOrder) -> tuple[Answer, ...]:
        """What becomes of a new order at once."""
        self._orders[order.order] = order.symbol
        if (reason := self._refused(order)) is not None:
            return (Rejected(order.time, order.order, reason),)
        quote, schedule = self._quotes[self._market.asset_of[order.symbol]], self._schedules[order.symbol]
        uniform, congestion = one(self._drawn()), one(quote.congestion)
        if costs.rejected(schedule, congestion, uniform).item():
            return (Rejected(order.time, order.order, f"too busy, congestion {quote.congestion:.0%}"),)
        taken = Acknowledged(order.time, order.order)
        if costs.late(schedule, congestion, uniform).item():
            self._late[order.order] = order
            return (taken,)
        return (taken, *self._matched(order))

    def _refused(self, order: SubmitOrder) -> str | None:
        if self._market.asset_of[order.symbol] not in self._quotes:
            return "no market yet"
        if not self._market.linear(order.symbol) and order.symbol not in self._listings:
            return f"{order.symbol} is not listed"
        lot = self._market.lot(order.symbol)
        if order.units == 0 or order.units % lot != 0:
            return f"{order.units} is no whole number of lots of {lot}"
        held = self._positions[order.symbol]
        if order.reduce_only and (order.units * held >= 0 or abs(order.units) > abs(held)):
            return f"reduce only, and {held} is held"
        return None

    def _matched(self, order: SubmitOrder) -> tuple[Filled | Cancelled, ...]:
        """Immediate or cancel: what is within the order's limit and the book's depth fills, the rest is gone."""
        left = Cancelled(order.time, order.order)
        units = self._within(order)
        fill = self._fill(order, units)
        price, fee = _decimal(fill.price), _decimal(fill.fee + fill.gas)
        if units == 0 or (price - order.limit) * order.units > 0:
            return (left,)
        filled = Filled(order.time, order.order, f"{order.order}/1", units, price, fee)
        return (filled,) if units == order.units else (filled, left)

    def _drawn(self) -> float:
        """Uniform in [0, 1): the child of the seed that has a new order's number."""
        child = np.random.SeedSequence(self._seed, spawn_key=(len(self._answers),))
        return float(np.random.default_rng(child).random())

    def _within(self, order: SubmitOrder) -> Decimal:
        """Whole lots of the order that the depth allows."""
        lot, most = self._market.lot(order.symbol), self._fill(order, order.units).units.item()
        if most == float(order.units):
            return order.units
        return (Decimal(most) / lot).to_integral_value(ROUND_DOWN) * lot

    def _fill(self, order: SubmitOrder, units: Decimal) -> Fill:
        trade, traded = (one(float(value))[:, None, None] for value in (units, self._traded[order.symbol]))
        return costs.fills(self._schedules[order.symbol], self._tradable(order.symbol, order.time), trade, traded)

    def _tradable(self, symbol: str, now: int) -> Tradable:
        """What an order for one leg meets."""
        market, leg = self._market, self._market.symbols.index(symbol)
        name, instrument = market.asset_of[symbol], market.contract.hedges[leg].instrument
        quote = self._quotes[name]
        asset = market.assets[name]
        view = View(quote_tensors(quote), self._memories[name], market.observer.surfaces[asset], market.contract.bar)
        greeks = instrument.greeks(market.leg_terms(leg, self._listings.get(symbol), quote.spot, now), view)
        congestion = view.quote.congestion[:, None]
        return Tradable(greeks.value, instrument.half_spread(greeks, view), instrument.depth(greeks, view), congestion)


def _decimal(value: torch.Tensor) -> Decimal:
    return Decimal(float(value)).quantize(_CENT_PARTS)
