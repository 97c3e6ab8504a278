"""Merging quotes and timers into one stream of events, in the order of the clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from serve.clock import SECOND, Clock
from serve.events import BarClosed, DecisionDue, Event, Heartbeat, QuoteEvent
from serve.feed import Feed
from serve.people import People
from serve.runner import Runner
from serve.setup import Setup
from serve.state import State
from serve.venues.floor import Floor

Timer = BarClosed | DecisionDue | Heartbeat
ROUNDS = 3  # of waiting at the end for answers, and for the answers to what they cause


class Timers:
    """Grids of bar, decision and heartbeat, in this order where they coincide."""

    def __init__(self, setup: Setup, now: int, past: Iterable[Event] = ()) -> None:
        """`past`: what was journalled before a restart, so that a timer that was due then still comes."""
        bar = setup.market.bar
        self._steps: dict[type[Timer], int] = {
            BarClosed: bar,
            DecisionDue: bar * setup.market.contract.decision_bars,
            Heartbeat: setup.config.clocks.heartbeat_seconds * SECOND,
        }
        last = {type(event): event.time for event in past if type(event) in self._steps}
        self._next = {kind: _following(last.get(kind), step, now) for kind, step in self._steps.items()}

    @property
    def next(self) -> int:
        return min(self._next.values())

    def fire(self, now: int) -> tuple[Event, ...]:
        """The events of the next time on the grids, which went off at `now`; the time after it is the next."""
        at = self.next
        due = [kind for kind, time in self._next.items() if time == at]
        self._next.update({kind: at + self._steps[kind] for kind in due})
        return tuple(_timer(kind, now, at) for kind in due)


class Book(Protocol):
    """Where the trades of the book to hedge come from, and what else comes beside the quotes."""

    def saw(self, quote: QuoteEvent, state: State) -> tuple[Event, ...]: ...


@dataclass(frozen=True)
class Several:
    """More than one of them, heard in their order."""

    each: tuple[Book, ...]

    def saw(self, quote: QuoteEvent, state: State) -> tuple[Event, ...]:
        return tuple(event for own in self.each for event in own.saw(quote, state))


def drive(runner: Runner, feed: Feed, book: Book, floor: Floor, people: People, clock: Clock, timers: Timers) -> None:
    """Until the feed ends. Quotes at a timer's very time come before it.

    However long the market is silent, what persons tell is heard.
    """
    while not feed.ended:
        _handled(runner, people.heard())
        tick = feed.next(min(timers.next, people.next))
        if isinstance(tick, QuoteEvent):
            _quoted(runner, book, floor, tick)
        elif tick is not None:
            runner.handle(tick)
        elif not feed.ended and people.next < timers.next:
            clock.wait_until(people.next)
        elif not feed.ended:
            _fire(runner, floor, clock, timers)
    _fire(runner, floor, clock, timers)
    runner.withdraw()
    for _ in range(ROUNDS):
        floor.settle()
        _handled(runner, floor.passed(clock.now()))
    runner.flush()


def _quoted(runner: Runner, book: Book, floor: Floor, quote: QuoteEvent) -> None:
    _met(runner, floor, quote)
    for event in book.saw(quote, runner.state):
        _met(runner, floor, event)


def _fire(runner: Runner, floor: Floor, clock: Clock, timers: Timers) -> None:
    clock.wait_until(timers.next)
    _handled(runner, floor.passed(clock.now()))
    for event in timers.fire(clock.now()):
        _met(runner, floor, event)


def _met(runner: Runner, floor: Floor, event: Event) -> None:
    """An event, and what the venue makes of it."""
    _handled(runner, floor.before(event, runner.state))
    runner.handle(event)
    _handled(runner, floor.after(event, runner.state))


def _handled(runner: Runner, events: Iterable[Event]) -> None:
    for event in events:
        runner.handle(event)


def _timer(kind: type[Timer], now: int, at: int) -> Timer:
    if kind is BarClosed:
        return BarClosed(now, at)
    return DecisionDue(now) if kind is DecisionDue else Heartbeat(now)


def _following(last: int | None, step: int, now: int) -> int:
    """On the grid: the time after the one of `last`, or, if that is past, the first from `now`."""
    if last is not None and (after := (last // step + 1) * step) >= now:
        return after
    return -(-now // step) * step
