"""Between the core and a venue: nothing is sent while a halt waits, and what a venue raises is an unknown outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from serve.commands import Ask, CancelOrder, LookUp, SubmitOrder
from serve.events import Cancelled, Event, Malformed, OutcomeUnknown
from serve.people import People
from serve.runner import Venue

T = TypeVar("T", SubmitOrder, CancelOrder, LookUp)


@dataclass(frozen=True)
class Latched:
    """A venue whose orders wait for no loop to read the halt: it is looked for before each of them."""

    venue: Venue
    people: People

    def submit(self, order: SubmitOrder) -> tuple[Event, ...]:
        """An order that is held back is gone, and what persons told comes at once."""
        if self.people.held():
            return (Cancelled(order.time, order.order), *self.people.look())
        return _known(self.venue.submit, order)

    def cancel(self, order: CancelOrder) -> tuple[Event, ...]:
        return _known(self.venue.cancel, order)

    def look_up(self, order: LookUp) -> tuple[Event, ...]:
        return _known(self.venue.look_up, order)

    def report(self, question: Ask) -> tuple[Event, ...]:
        try:
            return self.venue.report(question)
        except Exception as error:  # a report that never comes makes its input stale
            return (Malformed(question.time, "venue", question.what, _words(error)),)


def _known(ask: Callable[[T], tuple[Event, ...]], order: T) -> tuple[Event, ...]:
    try:
        return ask(order)
    except Exception as error:  # whatever a venue raises, the order may be there
        return (OutcomeUnknown(order.time, order.order, _words(error)),)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
