"""The paper venue: one account whose orders fill against the last quotes, by the simulator's own rules and mishaps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from envs.volatility.memory import Memory
from serve.clock import SECOND
from serve.commands import Ask, CancelOrder, LookUp, SubmitOrder
from serve.config import Venue
from serve.edge import wrong_quote
from serve.events import (
    Absent,
    Acknowledged,
    BalanceReport,
    Cancelled,
    Deleveraged,
    Event,
    Filled,
    Listed,
    OrdersReport,
    PositionsReport,
    QuoteEvent,
    Rejected,
    VenueTime,
)
from serve.ledger import ZERO
from serve.market import Listing, Market, Sight
from serve.smile import Smile
from serve.state import State
from serve.venues.accruing import Accrual
from serve.venues.custody import Custody
from serve.venues.deposits import deposited, posted
from serve.venues.matching import Matcher, Resting, Trade, decimal
from serve.venues.records import Answer, Booked, Records
from serve.venues.screen import Screen
from serve.venues.waiting import Waiting


class Paper:
    """Idempotent by order id: an id seen before is answered as it was the first time, and nothing fills again.

    What an order meets by chance is drawn from the settings' seed and the order's number. The account is margined as
    the task's contract says, and trades the hedge of the book that the core tells of.
    """

    def __init__(self, market: Market, settings: Venue) -> None:
        self._market, self._seed, self._latency = market, settings.seed, round(settings.latency_seconds * SECOND)
        self._screen = Screen(market)
        self._matcher, self._accrual, self._custody = Matcher(self._screen), Accrual(self._screen), Custody(market)
        self._records = Records()
        self._core: State | None = None  # where it stood at the last move
        self._waiting = Waiting()
        self._now = 0

    def show(self, quote: QuoteEvent, memory: Memory) -> tuple[Event, ...]:
        """An asset's market from here on, after what came before it.

        `memory`: what the asset's past leaves behind, for the surface of options. What is no quote is not shown.
        """
        if wrong_quote(quote) is not None:
            return ()
        before = self.passed(quote.time)
        self._screen.show(quote, memory)
        self._accrual.begun(quote)
        return before

    def moved(self, quote: QuoteEvent, state: State) -> tuple[Event, ...]:
        """What the move to the quote shown last did to the account; one that the core doubts does nothing.

        `state`: where the core stands after the quote. Under portfolio margin the book that it hedges counts.
        """
        self._core, trusted = state, state.trusted.get(quote.asset)
        self.surfaced(state.smiles)
        if self._screen.quotes.get(quote.asset) is not quote or trusted is None or trusted.quoted_at < quote.quoted_at:
            return ()
        made = self._made(quote)
        sight = self._sight(quote.time)
        closed = () if sight is None else self._custody.closures(sight, quote)
        return (*made, *self._taken_over(closed), *self._expired(quote))

    def passed(self, now: int) -> tuple[Event, ...]:
        """What became, up to now, of the orders on their way and of those that rested."""
        self._now = max(self._now, now)
        arrived = [event for order in self._waiting.arrived(now, self._latency) for event in self._arrived(order, now)]
        return (*arrived, *self._dropped(self._waiting.expired(now), now))

    def remembered(self, memories: Mapping[str, Memory]) -> None:
        """What each asset's past leaves behind after one more bar."""
        self._screen.remembered(memories)

    def surfaced(self, smiles: Mapping[str, Smile]) -> None:
        """At what options are listed from here on, by asset."""
        self._screen.smiles = smiles

    def listed(self, symbol: str, listing: Listing) -> None:
        """What an option leg trades from here on."""
        self._screen.listings[symbol] = listing

    def submit(self, order: SubmitOrder) -> tuple[Event, ...]:
        if order.order in self._records:
            return self._records.told(order.order, order.time)
        self._waiting.coming.setdefault(order.order, order)
        return self.passed(order.time)

    def cancel(self, order: CancelOrder) -> tuple[Event, ...]:
        """An order that rests or waits for the end of the bar; one on its way arrives all the same."""
        return self._dropped([order.order], order.time)

    def look_up(self, order: LookUp) -> tuple[Event, ...]:
        others = [event for event in self.passed(order.time) if getattr(event, "order", "") != order.order]
        told: tuple[Event, ...] = self._records.told(order.order, order.time)
        return (*others, *(told or (Absent(order.time, order.order),)))

    def report(self, question: Ask) -> tuple[Event, ...]:
        """As of now."""
        now = max(self._now, question.time)
        if question.what == "orders":
            return (OrdersReport(now, tuple(self._waiting.working)),)
        if question.what == "positions":
            held = tuple((symbol, self._records.ledger.position(symbol)) for symbol in self._market.symbols)
            return (PositionsReport(now, now, held),)
        if question.what == "time":
            return (VenueTime(now, 0, 2 * self._latency),)
        sight = self._sight(now)
        use = 0.0 if sight is None else self._custody.use(sight)
        return (BalanceReport(now, now, self._records.ledger.hedge_cash + deposited(self._core, now), use),)

    def accrue(self, now: int, asset: str) -> tuple[Event, ...]:
        """An asset's funding since the last call, at the mark and rate of that time."""
        return self._records.booked(*self._accrual.paid(now, asset, self._records.ledger))

    def bar_ended(self, now: int) -> tuple[Event, ...]:
        """The bar's funding, then the fills of the orders that were late."""
        funding = [paid for asset in self._market.assets for paid in self.accrue(now, asset)]
        late = self._waiting.ended_bar()
        return (*funding, *(event for order in late for event in self._matched(replace(order, time=now))))

    def remember(self, events: Iterable[Event], sent: Mapping[str, SubmitOrder], state: State | None) -> None:
        """What the journal says this venue did before a restart; what was still to fill may fill still.

        `sent`: every order by id. `state`: where the core stands, if there is any.
        """
        self._core = state
        self.surfaced({} if state is None else state.smiles)
        for order in sent.values():
            self._records.sent(order)
        for event in events:
            if isinstance(event, QuoteEvent) and state is not None and event.asset in state.pasts:
                self.show(event, state.pasts[event.asset].memory)
            elif isinstance(event, Listed):
                self.listed(event.symbol, Listing(event.strike, event.expiry))
            elif isinstance(event, Booked) and self._records.news(event):
                self._records.booked(event)
            self._accrual.remembered(event)
        for order, answers in list(self._records.unfinished()):
            self._resumed(order, answers, 0 if state is None else state.time)

    def _resumed(self, order: SubmitOrder, answers: tuple[Answer, ...], died: int) -> None:
        """An order that had not ended: on its way, late, or at the end of the queue; a rest that was gone is gone."""
        fills = [each.units for each in answers if isinstance(each, Filled)]
        if not answers and order.expires_at >= died:
            self._waiting.coming[order.order] = order
        elif answers and order.post_only:
            queued = self._matcher.queued(order)
            self._waiting.resting[order.order] = replace(queued, left=order.units - sum(fills), fills=len(fills))
        elif fills:
            self._records.booked(Cancelled(answers[-1].time, order.order))
        elif answers:
            self._waiting.late[order.order] = order

    def _arrived(self, sent: SubmitOrder, now: int) -> tuple[Event, ...]:
        """What becomes of an order that reached the book since the last look."""
        self._records.sent(sent)
        drawn, order = self._drawn(), replace(sent, time=now)
        late = sent.time + self._latency > sent.expires_at
        reason = "expired on its way" if late else self._refused(order)
        if reason is None and self._matcher.rejected(order.symbol, drawn):
            reason = f"too busy, congestion {self._screen.quote(order.symbol).congestion:.0%}"
        if reason is not None:
            return self._records.booked(Rejected(order.time, order.order, reason))
        taken = self._records.booked(Acknowledged(order.time, order.order))
        if order.post_only:
            self._waiting.resting[order.order] = self._matcher.queued(order)
            return taken
        if self._matcher.late(order.symbol, drawn):
            self._waiting.late[order.order] = order
            return taken
        return (*taken, *self._matched(order))

    def _refused(self, order: SubmitOrder) -> str | None:
        """Why the venue does not take an order, in words."""
        if order.symbol not in self._market.symbols:
            return f"no {order.symbol} here"
        if (closed := self._screen.closed(order.symbol, order.time)) is not None:
            return closed
        lot, held = self._market.lot(order.symbol), self._records.ledger.position(order.symbol)
        if order.units == 0 or order.units % lot != 0:
            return f"{order.units} is no whole number of lots of {lot}"
        if order.post_only and self._matcher.crosses(order):
            return "post only, and it would trade at once"
        if self._records.reducing(order, order.units) == 0:
            return f"reduce only, and {held} is held"
        sight, leg = self._sight(order.time), self._market.symbols.index(order.symbol)
        grows = abs(held + order.units) > abs(held)
        if grows and sight is not None and not self._custody.affords(sight, leg, order.units):
            return "not enough margin"
        return None

    def _matched(self, order: SubmitOrder) -> tuple[Event, ...]:
        """What fills at once; the rest is gone."""
        units, left = self._records.reducing(order, order.units), Cancelled(order.time, order.order)
        if units == 0:
            return self._records.booked(left)
        trade = self._matcher.taken(order, units, self._records.ledger.account(order.symbol).traded)
        if trade is None:
            return self._records.booked(left)
        filled = _filled(order, 1, trade)
        return self._records.booked(filled) if trade.units == order.units else self._records.booked(filled, left)

    def _made(self, quote: QuoteEvent) -> tuple[Event, ...]:
        """Fills of the orders that rest in the asset's legs."""
        events: list[Event] = []
        for name, resting in list(self._waiting.resting.items()):
            if self._market.asset_of[resting.order.symbol] == quote.asset:
                events += self._rested(name, replace(resting, order=replace(resting.order, time=quote.time)))
        return tuple(events)

    def _rested(self, name: str, resting: Resting) -> tuple[Event, ...]:
        order = resting.order
        after, room = self._matcher.passed(resting, order.time)
        self._waiting.resting[name] = after
        units = self._records.reducing(order, room)
        if units == 0:
            return () if room == 0 else self._dropped([name], order.time)
        traded = self._records.ledger.account(order.symbol).traded
        filled = _filled(order, resting.fills + 1, self._matcher.made(order, units, traded))
        self._waiting.resting[name] = replace(after, left=resting.left - units, fills=resting.fills + 1)
        if units == resting.left:
            del self._waiting.resting[name]
        return self._records.booked(filled)

    def _taken_over(self, closed: Iterable[Deleveraged]) -> tuple[Event, ...]:
        """What the venue closed, and our orders in the legs that it liquidated."""
        events: list[Event] = []
        for each in closed:
            own = [name for name, order in self._waiting.working.items() if order.symbol == each.symbol]
            events += self._records.booked(each)
            events += self._dropped(own if each.why == "liquidated" else [], each.time)
        return tuple(events)

    def _expired(self, quote: QuoteEvent) -> tuple[Event, ...]:
        """Settlements, at the quote, of options that have run out."""
        settled = []
        for symbol, listing in self._screen.listings.items():
            held = self._records.ledger.position(symbol)
            if self._market.asset_of[symbol] == quote.asset and listing.expiry <= quote.time and held != 0:
                worth = decimal(self._screen.mark(symbol, quote.time))
                settled.append(Deleveraged(quote.time, symbol, -held, worth, "expired"))
        return self._records.booked(*settled)

    def _dropped(self, names: Iterable[str], now: int) -> tuple[Event, ...]:
        """Those of the orders that wait are cancelled."""
        return self._records.booked(*(Cancelled(now, name) for name in self._waiting.dropped(names)))

    def _sight(self, now: int) -> Sight | None:
        """The account beside the book that it hedges; counted, as margin is, from when that was last empty."""
        core, screen, market = self._core, self._screen, self._market
        if core is None or not screen.whole:
            return None
        accounts = {symbol: self._records.ledger.account(symbol) for symbol in market.symbols}
        return Sight(
            time=now,
            quotes=tuple(screen.quotes[name] for name in market.assets),
            memories=tuple(screen.memories[name] for name in market.assets),
            book=core.book,
            positions=tuple(each.position for each in accounts.values()),
            cash=tuple(
                each.cash - core.opening.worth.get(symbol, ZERO) + posted(core, market, symbol, now)
                for symbol, each in accounts.items()
            ),
            claims_cash=core.ledger.book - core.opening.book,
            coins=tuple(core.ledger.coins.get(name, ZERO) for name in market.assets),
            listings=tuple(screen.listings.get(symbol) for symbol in market.symbols),
            targets=tuple(core.targets[name] for name in market.assets),
            smiles=tuple(screen.smiles.get(name) for name in market.assets),
        )

    def _drawn(self) -> float:
        """Uniform in [0, 1): the child of the seed that has a new order's number."""
        child = np.random.SeedSequence(self._seed, spawn_key=(self._records.made,))
        return float(np.random.default_rng(child).random())


def _filled(order: SubmitOrder, number: int, trade: Trade) -> Filled:
    return Filled(order.time, order.order, f"{order.order}/{number}", trade.units, trade.price, trade.fee)
