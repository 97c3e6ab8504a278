"""Several venues as one: orders are split over them, and what they tell of the parts is told of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from serve.clock import SECOND
from serve.commands import Ask, CancelOrder, LookUp, SubmitOrder
from serve.errors import in_words
from serve.events import Acknowledged, Cancelled, Event, Filled, Malformed, OutcomeUnknown, Rejected, SurfaceQuote
from serve.orders import OrderEvent
from serve.router.books import Nature, Snapshot, together
from serve.router.collecting import Gathering
from serve.router.families import Families
from serve.router.family import Child, Family
from serve.router.marks import marked, unmarked
from serve.router.quoting import Quoting
from serve.router.reports import Report, named
from serve.router.routes import Routes, Sight
from serve.router.settings import Routing
from serve.router.standing import Standing
from serve.state import State
from serve.venues.floor import Floor, Sent

if TYPE_CHECKING:
    from serve.venues.exchange import Tick


class Part(Floor, Protocol):
    """A venue as the router needs it. Its events bear the ids of our orders, and its symbols are the legs'."""

    def ticks(self) -> list[Tick]: ...

    def book(self, symbol: str) -> Snapshot | None:
        """Of a leg, as last seen."""
        ...

    def nature(self, leg: str) -> Nature: ...


class Routed:
    """A child at a venue bears its order's id, of which each venue has at most one.

    So an order is looked up after a restart by asking every venue for its id, and nothing is sent again.
    """

    def __init__(self, parts: Mapping[str, Part], settings: Routing, lots: Mapping[str, Decimal]) -> None:
        """`lots`: of the legs, base units."""
        self._parts, self._patience, self._routes = parts, settings.health.latency, Routes(settings, lots)
        self._families, self._standing = Families(), Standing(parts, settings.health)
        self._reports = Gathering(parts, settings.outage_seconds * SECOND)
        self._quoting = Quoting(settings.book_seconds * SECOND)

    def submit(self, order: SubmitOrder) -> tuple[Event, ...]:
        """Split over the venues that take it; an order seen before is looked up instead."""
        if order.order in self._families:
            return self.look_up(LookUp(order.time, order.order))
        sight = self._sight(order.symbol)
        shares = self._routes.shares(order, sight)
        if isinstance(shares, str):
            return (Rejected(order.time, order.order, shares),)
        if not shares:
            return (Cancelled(order.time, order.order),)
        self._families.add(Family(order, {venue: Child(units) for venue, units in shares.items()}))
        return self._each(shares, lambda venue: self._asked(venue, replace(order, units=shares[venue])))

    def cancel(self, order: CancelOrder) -> tuple[Event, ...]:
        """At every venue that may have a part of it; what rests although it ended, may be anywhere."""
        return self._each(self._families.having(order.order) or self._parts, lambda venue: self._asked(venue, order))

    def look_up(self, order: LookUp) -> tuple[Event, ...]:
        """At every venue that may have a part of it."""
        return self._each(self._families.having(order.order), lambda venue: self._asked(venue, order))

    def report(self, question: Ask) -> tuple[Event, ...]:
        return self._each(self._parts, lambda venue: self._reported(venue, question))

    def before(self, event: Event, state: State) -> tuple[Event, ...]:
        return self._each(self._parts, lambda venue: self._parts[venue].before(event, state))

    def after(self, event: Event, state: State) -> tuple[Event, ...]:
        return self._each(self._parts, lambda venue: self._parts[venue].after(event, state))

    def passed(self, now: int) -> list[Event]:
        """What the venues told since the last call; silence counts as a failure, and who is out is probed."""
        told = self._each(self._parts, lambda venue: self._heard(venue, now))
        for venue in self._families.silent(now, self._patience):
            self._standing.failed(venue, now, f"silent for {self._patience / SECOND:g} s")
        probed = self._each(self._standing.probes(now), lambda venue: self._reported(venue, Ask(now, "time")))
        return [*told, *probed, *self._standing.changes(now)]

    def ticks(self) -> list[Tick]:
        """What the venues showed since the last call, together."""
        out = self._standing.out
        return [tick for venue, part in self._parts.items() for tick in self._quoting.shown(venue, part.ticks(), out)]

    def book(self, symbol: str) -> Snapshot | None:
        """The books of the venues that are in, as one; those that are fresh beside the newest of them."""
        books = [book for venue, book in self._books(symbol).items() if self._standing.health[venue].well]
        newest = max((book.time for book in books), default=0)
        fresh = [book for book in books if self._routes.fresh(book, newest)]
        return together(fresh) if fresh else None

    def settle(self) -> None:
        for part in self._parts.values():
            part.settle()

    def unexplained(self, state: State, declared: Iterable[Event]) -> str | None:
        """A holding of the book that a venue holds, it must hold whole."""
        told = tuple(declared)
        for venue, part in self._parts.items():
            own = replace(state.venue, positions=self._standing.held[venue])
            if (words := part.unexplained(replace(state, venue=own), told)) is not None:
                return f"{venue}: {words}"
        return None

    def close(self) -> None:
        for part in self._parts.values():
            part.close()

    def remember(self, past: Iterable[Event], sent: Sent, state: State | None) -> None:
        """Orders of before a restart that may still fill: every venue of the leg may have a part of each."""
        for name in () if state is None else (order.id for order in state.reserved):
            self._families.add(Family.remembered(sent[name], self._routes.venues(sent[name].symbol)))
        told = tuple(event for event in past if isinstance(event, Filled) and event.order in self._families)
        for venue in self._parts:
            for fill in unmarked(told, venue):
                self._families.heard(venue, fill)

    def _each(self, venues: Iterable[str], ask: Callable[[str], Iterable[Event]]) -> tuple[Event, ...]:
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

    def _reported(self, venue: str, question: Ask) -> Iterable[Event]:
        return self._listened(venue, question.time, question.what, lambda: self._parts[venue].report(question))

    def _heard(self, venue: str, now: int) -> Iterable[Event]:
        return self._listened(venue, now, "news", lambda: self._parts[venue].passed(now))

    def _listened(self, venue: str, now: int, what: str, listen: Callable[[], Iterable[Event]]) -> Iterable[Event]:
        """What a venue that cannot be heard has to say does not keep the others' from being told."""
        try:
            return listen()
        except Exception as error:
            self._standing.failed(venue, now, in_words(error))
            return (Malformed(now, venue, what, in_words(error)),)

    def _told(self, venue: str, events: Iterable[Event]) -> tuple[Event, ...]:
        """One venue's events, of children as of their orders."""
        told: list[Event] = []
        for event in events:
            self._standing.judged(venue, event)
            told += self._translated(venue, event)
        return (*told, *self._families.concluded())

    def _translated(self, venue: str, event: Event) -> tuple[Event, ...]:
        if isinstance(event, OrderEvent):
            return self._of_order(venue, event)
        if isinstance(event, Report):
            return self._reports.told(venue, named(event, venue), self._standing.out)
        if isinstance(event, SurfaceQuote) and venue != next(iter(self._parts)):
            return ()  # listed volatilities are the first venue's, lest they jump between two
        return (marked(event, venue),)

    def _of_order(self, venue: str, event: OrderEvent) -> tuple[Event, ...]:
        if isinstance(event, Acknowledged | Filled | Cancelled):
            waited = self._families.waited(venue, event)
            if waited is not None:
                self._standing.answered(venue, event.time, waited)
        told = self._families.heard(venue, event)
        for fill in told:
            if isinstance(fill, Filled) and fill.order in self._families:
                self._standing.moved(venue, self._families.symbol(fill.order), fill.units)
        return told

    def _sight(self, symbol: str) -> Sight:
        standing = self._standing
        natures = {venue: self._parts[venue].nature(symbol) for venue in self._routes.venues(symbol)}
        return Sight(standing.health, self._books(symbol), natures, standing.held, standing.margin_use)

    def _books(self, symbol: str) -> dict[str, Snapshot]:
        books = {venue: self._parts[venue].book(symbol) for venue in self._routes.venues(symbol)}
        return {venue: book for venue, book in books.items() if book is not None}
