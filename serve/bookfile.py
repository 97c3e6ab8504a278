"""The book to hedge from a file that someone else appends to: one JSON object a line.

`{"type": "BookTraded", "holding": {"id": …, "asset": …, "kind": "option", "units": "-10", …}, "premium": "5000"}`,
`{"type": "BookSettled", …}`, of a perpetual held elsewhere `{"type": "BookFunded", …}`, `{"type": "TargetSet", …}`
or, of an option leg, `{"type": "Listed", …}`; the fields are those of `serve.events`, without the time. A trade with
`"trade": "its id"` counts once, however often it is written. The file is only ever appended to: its first lines are
what the journal took from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from envs.types import BadInput
from serve import codec
from serve.booked import Booked
from serve.errors import FeedError
from serve.events import BookFunded, BookSettled, BookTraded, Event, Listed, Malformed, QuoteEvent, Started, TargetSet
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
        self._lines, self._journalled = Lines(path), _by_file(past)

    def saw(self, quote: QuoteEvent, state: State) -> tuple[Event, ...]:
        """What the lines that are new say."""
        return self.fresh(quote.time)

    def fresh(self, now: int) -> tuple[Event, ...]:
        """The same, as of a time. Raises FeedError for a file that is not what it was."""
        lines = self._lines.new()
        found = [self._lines.event(line, now, KINDS) for line in lines]
        if self._journalled:
            found, self._journalled = found[self._known(lines, found) :], {}
        return tuple(found)

    def _known(self, lines: Sequence[str], found: Sequence[Event]) -> int:
        """How many of the first lines are journalled: under this file's name, or under the one it had before."""
        path = self._lines.path
        own = self._journalled.get(path.absolute())
        for told in (own,) if own else sorted(self._journalled.values(), key=len, reverse=True):
            same = [_same(*each) for each in zip(told, lines, found, strict=False)]
            if all(same) and len(same) == len(told):
                return len(told)
        if own:
            raise FeedError(
                f"{path}: line {(*same, False).index(False) + 1} is not the one that the journal took; put back what "
                "was there and append, or name a new file in [book] path"
            )
        return 0


def _by_file(past: Iterable[Event]) -> dict[Path, list[Event]]:
    """What each session was told by the file that its settings name."""
    found, path = dict[Path, list[Event]](), None
    for event in past:
        if isinstance(event, Started):
            path = json.loads(event.config)["book"].get("path")
        elif path is not None and (Lines(Path(path)).told(event) or (isinstance(event, KINDS) and not command(event))):
            found.setdefault(Path(path).absolute(), []).append(event)
    return found


def _same(told: Event, line: str, event: Event) -> bool:
    """What was malformed is known by its text: it may be none any more."""
    if isinstance(told, Malformed):
        return told.text == line
    return codec.encode(replace(event, time=told.time)) == codec.encode(told)
