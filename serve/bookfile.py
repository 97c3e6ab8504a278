"""The book to hedge from a file that someone else appends to: one JSON object a line.

`{"type": "BookTraded", "holding": {"id": …, "asset": …, "kind": "option", "units": "-10", …}, "premium": "5000"}`,
`{"type": "BookSettled", …}` or `{"type": "TargetSet", …}`; the fields are those of `serve.events`, without the time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from serve import codec
from serve.errors import FeedError, JournalBroken
from serve.events import BookSettled, BookTraded, Event, Malformed, QuoteEvent, TargetSet
from serve.state import State

TOLD = (BookTraded, BookSettled, TargetSet)


class BookFile:
    """Looked at with every quote; a line that is none of the three is told as malformed, and the next one read."""

    def __init__(self, path: Path, past: Iterable[Event]) -> None:
        """`past`: what was journalled before a restart, whose lines do not come again."""
        self._path, self._name = path, path.name
        self._skip = sum(isinstance(event, TOLD) or self._ours(event) for event in past)
        self._offset = 0

    def saw(self, quote: QuoteEvent, state: State) -> tuple[Event, ...]:
        """What the lines that are new and whole say."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError as error:
            raise FeedError(f"{self._path}: cannot be read ({error.strerror})") from None
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        lines = [line for line in whole.splitlines() if line.strip()]
        fresh, self._skip = lines[self._skip :], max(0, self._skip - len(lines))
        return tuple(self._event(line, quote.time) for line in fresh)

    def _event(self, line: bytes, now: int) -> Event:
        try:
            raw = json.loads(line)
            event = codec.decode(codec.canonical({**raw, "time": now}))
        except (ValueError, TypeError, JournalBroken) as error:
            return Malformed(now, self._name, line.decode(errors="replace"), str(error))
        if isinstance(event, TOLD):
            return event
        return Malformed(now, self._name, line.decode(errors="replace"), f"a {type(event).__name__} is not told here")

    def _ours(self, event: Event) -> bool:
        return isinstance(event, Malformed) and event.source == self._name
