"""A venue as the loop sees it: besides orders, it hears what the loop comes to, and says what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from serve.clock import Clock
from serve.commands import SubmitOrder
from serve.events import Event, History
from serve.feed import Feed
from serve.runner import Venue
from serve.state import State


class Floor(Venue, Protocol):
    """Events are dated when the core gets to them."""

    def before(self, event: Event, state: State) -> Iterable[Event]:
        """What comes before an event of the market, the book or the timers, which the core has not heard yet."""
        ...

    def after(self, event: Event, state: State) -> Iterable[Event]:
        """What comes of it; `state`: where the core stands after it."""
        ...

    def passed(self, now: int) -> Iterable[Event]:
        """What happened up to now. The loop has turned: what must not outlive a loop that hangs is renewed here."""
        ...

    def settle(self) -> None:
        """Returns when what was asked is answered, or is long overdue."""
        ...

    def unexplained(self, state: State, declared: Iterable[Event]) -> str | None:
        """What is held and is neither our hedge nor of the book, in words; `declared`: trades of it still to come."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Place:
    """Where a session trades, and what comes from there. `venue`: as `Started` keeps it."""

    floor: Floor
    feed: Feed
    clock: Clock
    histories: tuple[History, ...]
    venue: str


Sent = Mapping[str, SubmitOrder]
