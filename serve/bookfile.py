"""The book to hedge from a file that someone else appends to: one JSON object a line.

`{"type": "BookTraded", "holding": {"id": …, "asset": …, "kind": "option", "units": "-10", …}, "premium": "5000"}`,
`{"type": "BookSettled", …}`, of a perpetual held elsewhere `{"type": "BookFunded", …}`, `{"type": "TargetSet", …}`
or, of an option leg, `{"type": "Listed", …}`; the fields are those of `serve.events`, without the time. A trade with
`"trade": "its id"` counts once, however often it is written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from envs.types import BadInput
from serve.booked import Booked
from serve.events import BookFunded, BookSettled, BookTraded, Event, Listed, Malformed, QuoteEvent, TargetSet
from serve.lines import Lines
from serve.people import command
from serve.state import State

KINDS = (BookTraded, BookSettled, BookFunded, TargetSet, Listed)


def told_in(path: Path, now: int, who: str, why: str) -> list[Booked]:
    """A file's changes as what a person tells. Raises BadInput for a line that is none, FeedError for no file."""
    found = list[Booked]()
    for line, event in enumerate(Lines(path).events(now, (BookTraded, BookSettled, BookFunded)), 1):
        if isinstance(event, Malformed):
            raise BadInput(f"{path}: change {line}: {event.reason}; nothing was told")
        assert isinstance(event, Booked), "malformed otherwise"
        found.append(replace(event, who=who, why=why))
    if not found:
        raise BadInput(f"{path}: no whole line; write one JSON object a line, each ended")
    return found


class BookFile:
    """Looked at with every quote."""

    def __init__(self, path: Path, past: Iterable[Event]) -> None:
        """`past`: what was journalled before a restart, whose lines do not come again."""
        self._lines = Lines(path)
        self._skip = sum(self._lines.told(event) or (isinstance(event, KINDS) and not command(event)) for event in past)

    def saw(self, quote: QuoteEvent, state: State) -> tuple[Event, ...]:
        """What the lines that are new say."""
        return self.fresh(quote.time)

    def fresh(self, now: int) -> tuple[Event, ...]:
        """The same, as of a time."""
        found = self._lines.events(now, KINDS)
        fresh, self._skip = found[self._skip :], max(0, self._skip - len(found))
        return tuple(fresh)
