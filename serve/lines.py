"""The lines of a file that someone else appends to, and the events that they are."""

from __future__ import annotations

import json
from pathlib import Path

from serve import codec
from serve.errors import FeedError, JournalBroken
from serve.events import Event, Malformed


class Lines:
    """Whole lines only: what is still being written waits for its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def new(self) -> list[str]:
        """Those since the last call, blank ones left out; what is no UTF-8 is marked. Raises FeedError."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError as error:
            raise FeedError(f"{self.path}: cannot be read ({error.strerror}); see that it is there") from None
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [line for line in whole.decode(errors="replace").splitlines() if line.strip()]

    def events(self, now: int, kinds: tuple[type[Event], ...]) -> list[Event]:
        """The new lines as events at `now`; one that is none of `kinds` is malformed."""
        return [self._event(line, now, kinds) for line in self.new()]

    def told(self, event: Event) -> bool:
        """Whether a malformed line was this file's."""
        return isinstance(event, Malformed) and event.source == self.path.name

    def _event(self, line: str, now: int, kinds: tuple[type[Event], ...]) -> Event:
        try:
            event = codec.decode(codec.canonical({**json.loads(line), "time": now}))
        except (ValueError, TypeError, JournalBroken) as error:
            return Malformed(now, self.path.name, line, str(error))
        if getattr(event, "command", ""):
            return Malformed(now, self.path.name, line, "a file bears no command of the inbox")
        if isinstance(event, kinds):
            return event
        return Malformed(now, self.path.name, line, f"a {type(event).__name__} is not told here")
