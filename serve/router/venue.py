"""Several venues as one: orders are split over them, and what they tell of the parts is told of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Protocol

from serve.clock import SECOND
from serve.commands import Ask, CancelOrder, LookUp, SubmitOrder
from serve.errors import in_words
from serve.events import (
    Cancelled,
    Deleveraged,
    Event,
    Filled,
    Malformed,
    OutcomeUnknown,
    PositionsReport,
    Rejected,
    VenueTime,
)
from serve.ledger import ZERO
from serve.orders import OrderEvent
from serve.router.books import Snapshot, together
from serve.router.collecting import Gathering
from serve.router.families import Families
from serve.router.family import Child, Family
from serve.router.health import Health
from serve.router.reports import Report
from serve.router.routes import Routes, Sight
from serve.router.settings import Routing
from serve.runner import Venue
from serve.state import State


class Part(Venue, Protocol):
    """A venue as the router needs it. Its events bear the ids of our orders, and its symbols are the legs'."""

    def passed(self, now: int) -> tuple[Event, ...]:
        """What it has told since the last call."""
        ...

    def book(self, symbol: str) -> Snapshot | None:
        """As last seen."""
        ...


class Routed:
    """A child at a venue bears its order's id, of which each venue has at most one.

    So an order is looked up after a restart by asking every venue for its id, and nothing is sent again.
    """

    def __init__(self, parts: Mapping[str, Part], settings: Routing, lots: Mapping[str, Decimal]) -> None:
        """`lots`: of the legs, base units."""
        self._parts, self._rules, self._routes = parts, settings.health, Routes(settings, lots)
        self._families = Families()
        self._reports = Gathering(parts, settings.outage_seconds * SECOND)
        self._held: dict[tuple[str, str], Decimal] = {}  # by venue and leg
        self.health = {name: Health() for name in parts}

    def submit(self, order: SubmitOrder) -> tuple[Event, ...]:
        """Split over the venues that take it; an order seen before is looked up instead."""
        if order.order in self._families:
            return self.look_up(LookUp(order.time, order.order))
        shares = self._routes.shares(order, Sight(self.health, self._books(order.symbol), self._held))
        if isinstance(shares, str):
            return (Rejected(order.time, order.order, shares),)
        if not shares:
            return (Cancelled(order.time, order.order),)
        self._families.add(Family(order, {venue: Child(units) for venue, units in shares.items()}))
        return self._each(shares, lambda venue: self._asked(venue, replace(order, units=shares[venue])))

    def cancel(self, order: CancelOrder) -> tuple[Event, ...]:
        """At every venue that may have a part of it."""
        return self._each(self._families.having(order.order), lambda venue: self._asked(venue, order))

    def look_up(self, order: LookUp) -> tuple[Event, ...]:
        """At every venue that may have a part of it."""
        return self._each(self._families.having(order.order), lambda venue: self._asked(venue, order))

    def report(self, question: Ask) -> tuple[Event, ...]:
        return self._each(self._parts, lambda venue: self._reported(venue, question))

    def passed(self, now: int) -> tuple[Event, ...]:
        """What the venues told since the last call; silence counts as a failure, and who is out is probed."""
        told = self._each(self._parts, lambda venue: self._heard(venue, now))
        for venue in self._families.silent(now, self._rules.latency):
            self._failed(venue, now, f"silent for {self._rules.latency_seconds:g} s")
        due = [venue for venue, health in self.health.items() if health.due(now, self._rules)]
        self.health.update({venue: self.health[venue].probed(now) for venue in due})
        return (*told, *self._each(due, lambda venue: self._reported(venue, Ask(now, "time"))))

    def book(self, symbol: str) -> Snapshot | None:
        """The books of the venues that are in, as one; those that are fresh beside the newest of them."""
        books = [book for venue, book in self._books(symbol).items() if self.health[venue].well]
        newest = max((book.time for book in books), default=0)
        fresh = [book for book in books if self._routes.fresh(book, newest)]
        return together(fresh) if fresh else None

    def remember(self, past: Iterable[Event], sent: Mapping[str, SubmitOrder], state: State | None) -> None:
        """Orders of before a restart that may still fill: every venue of the leg may have a part of each."""
        orders = () if state is None else state.reserved
        for name in (order.id for order in orders):
            self._families.add(Family.remembered(sent[name], self._routes.venues(sent[name].symbol)))
        for event in past:
            if isinstance(event, Filled) and event.order in self._families:
                venue, trade = event.trade.split("/", 1)
                self._families.heard(venue, replace(event, trade=trade))

    def _each(self, venues: Iterable[str], ask: Callable[[str], tuple[Event, ...]]) -> tuple[Event, ...]:
        """What every venue answers, told of the whole."""
        return tuple(event for venue in tuple(venues) for event in self._told(venue, ask(venue)))

    def _asked(self, venue: str, order: SubmitOrder | CancelOrder | LookUp) -> tuple[Event, ...]:
        """Whatever a venue raises, it may have the order."""
        part = self._parts[venue]
        try:
            if isinstance(order, SubmitOrder):
                return part.submit(order)
            return part.cancel(order) if isinstance(order, CancelOrder) else part.look_up(order)
        except Exception as error:
            return (OutcomeUnknown(order.time, order.order, in_words(error)),)

    def _reported(self, venue: str, question: Ask) -> tuple[Event, ...]:
        return self._listened(venue, question.time, question.what, lambda: self._parts[venue].report(question))

    def _heard(self, venue: str, now: int) -> tuple[Event, ...]:
        return self._listened(venue, now, "news", lambda: self._parts[venue].passed(now))

    def _listened(self, venue: str, now: int, what: str, listen: Callable[[], tuple[Event, ...]]) -> tuple[Event, ...]:
        """What a venue that cannot be heard has to say does not keep the others' from being told."""
        try:
            return listen()
        except Exception as error:
            self._failed(venue, now, in_words(error))
            return (Malformed(now, venue, what, in_words(error)),)

    def _told(self, venue: str, events: Iterable[Event]) -> tuple[Event, ...]:
        """One venue's events, of children as of their orders."""
        told: list[Event] = []
        for event in events:
            self._judged(venue, event)
            told += self._translated(venue, event)
        return (*told, *self._families.concluded())

    def _translated(self, venue: str, event: Event) -> tuple[Event, ...]:
        if isinstance(event, OrderEvent):
            told = self._families.heard(venue, event)
            for fill in (each for each in told if isinstance(each, Filled) and each.order in self._families):
                self._holds(venue, self._families.symbol(fill.order), fill.units)
            return told
        if isinstance(event, Report):
            return self._reports.told(venue, event, [name for name, each in self.health.items() if not each.well])
        return (event,)

    def _judged(self, venue: str, event: Event) -> None:
        """What a venue's event says of the venue itself."""
        if isinstance(event, OutcomeUnknown | Rejected):
            self._failed(venue, event.time, event.reason)
        elif isinstance(event, VenueTime):
            self.health[venue] = self.health[venue].timed(event.round_trip_ms, self._rules)
        elif isinstance(event, PositionsReport):
            self._held.update({(venue, symbol): units for symbol, units in event.positions})
        elif isinstance(event, Deleveraged):
            self._holds(venue, event.symbol, event.units)
        elif isinstance(event, OrderEvent) and (waited := self._families.waited(venue, event)) is not None:
            self.health[venue] = self.health[venue].answered(event.time, waited, self._rules)

    def _holds(self, venue: str, symbol: str, units: Decimal) -> None:
        self._held[venue, symbol] = self._held.get((venue, symbol), ZERO) + units

    def _failed(self, venue: str, now: int, why: str) -> None:
        self.health[venue] = self.health[venue].failed(now, why, self._rules)

    def _books(self, symbol: str) -> dict[str, Snapshot]:
        books = {venue: self._parts[venue].book(symbol) for venue in self._routes.venues(symbol)}
        return {venue: book for venue, book in books.items() if book is not None}
