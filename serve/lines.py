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
        self._offset, self._last = 0, b""  # where the next begins, and the one before it

    def new(self) -> list[str]:
        """Those since the last call, blank ones left out; what is no UTF-8 is marked.

        Raises FeedError where the file cannot be read, or is not the one that was read before.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset - len(self._last))
                last, data = file.read(len(self._last)), file.read()
        except OSError as error:
            raise FeedError(f"{self.path}: cannot be read ({error.strerror}); see that it is there") from None
        if last != self._last:
            raise FeedError(
                f"{self.path}: was begun anew or cut, and what came meanwhile may be lost; put back what was there and "
                "append, or start again with a file of another name"
            )
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        self._last = whole[whole[:-1].rfind(b"\n") + 1 :] or self._last
        return [line for line in whole.decode(errors="replace").splitlines() if line.strip()]

    def events(self, now: int, kinds: tuple[type[Event], ...]) -> list[Event]:
        """The new lines as events at `now`; one that is none of `kinds` is malformed."""
        return [self.event(line, now, kinds) for line in self.new()]

    def event(self, line: str, now: int, kinds: tuple[type[Event], ...]) -> Event:
        """A line as an event, as of `events`."""
        try:
            event = codec.decode(codec.canonical({**json.loads(line), "time": now}))
        except (ValueError, TypeError, RecursionError, JournalBroken) as error:
            return Malformed(now, self.path.name, line, str(error))
        if getattr(event, "command", ""):
            return Malformed(now, self.path.name, line, "a file bears no command of the inbox")
        if isinstance(event, kinds):
            return event
        return Malformed(now, self.path.name, line, f"a {type(event).__name__} is not told here")

    def told(self, event: Event) -> bool:
        """Whether a malformed line was this file's."""
        return isinstance(event, Malformed) and event.source == self.path.name
