"""One picture for everyone who watches: made once when the journal grows, and shared as it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

from pydantic import BaseModel, Field

from serve.api.views import TIME, Snapshot, snapshot
from serve.api.words import told
from serve.clock import Clock
from serve.errors import JournalError, ServeError
from serve.inbox import Inbox
from serve.mirror import Kept, Mirror
from serve.standing import named

LOOK = 0.2  # seconds between looks at the journal
AT_ONCE = 5_000  # entries between pictures while it catches up
LINES = 60  # of the story, the latest
QUIET = 10.0  # seconds after which a watcher is told that nothing is new
ALIVE = b": nothing new\n\n"


class Line(BaseModel):
    number: int = Field(description="Of the journal's entry.")
    time: int = Field(description=TIME)
    text: str


def line(kept: Kept) -> Line:
    return Line(number=kept.number, time=kept.record.time, text=told(kept.record))


class Picture(BaseModel):
    snapshot: Snapshot
    fault: str = Field(description="Why the journal cannot be read; empty while it can.")
    grew_at: int = Field(description="When the journal was last seen to grow, by the wall. " + TIME)
    story: list[Line] = Field(description="What the hedger did, oldest first.")


@dataclass(frozen=True)
class Frame:
    number: int
    picture: Picture
    event: bytes  # of the picture, as every watcher gets it: encoded once


@dataclass
class Broadcast:
    """Looks at the journal and the inbox, and wakes whoever watches. A watcher that is slow skips pictures."""

    mirror: Mirror
    inbox: Inbox
    clock: Clock
    frame: Frame | None = None
    watchers: int = 0
    ended: bool = False
    _grew_at: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def follow(self) -> None:
        """Until it is cancelled."""
        while True:
            before = self.frame
            behind = await asyncio.to_thread(self.look)
            if self.frame is not before:
                async with self._changed:
                    self._changed.notify_all()
            await asyncio.sleep(0 if behind else LOOK)

    def shown(self) -> Frame:
        """Raises JournalError before the first look."""
        if self.frame is None:
            raise JournalError("the journal has not been read yet; ask again in a second")
        return self.frame

    async def events(self) -> AsyncIterator[bytes]:
        """The picture at hand, then each one after it that is still the latest when its watcher is ready; a sign of
        life where nothing is new.
        """
        self.watchers += 1
        seen = 0
        try:
            while not self.ended:
                frame = await self._after(seen)
                seen = seen if frame is None else frame.number
                yield ALIVE if frame is None else frame.event
        finally:
            self.watchers -= 1

    async def end(self) -> None:
        """No watcher hears more, so that the server can end."""
        self.ended = True
        async with self._changed:
            self._changed.notify_all()

    async def _after(self, number: int) -> Frame | None:
        """None where no newer one comes for a while, or none ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(QUIET), self._changed:
                await self._changed.wait_for(lambda: self.ended or self._newer(number) is not None)
        return self._newer(number)

    def _newer(self, number: int) -> Frame | None:
        return self.frame if self.frame is not None and self.frame.number > number else None

    def look(self) -> bool:
        """Take in what is new, and make a picture if anything is. Whether more is likely there."""
        before, fault, waiting = self.mirror.entries, "", tuple[str, ...]()
        try:
            self.mirror.advance(AT_ONCE)
            waiting = tuple(each.fault if each.told is None else named(each.told) for each in self.inbox.waiting())
        except ServeError as error:
            fault = str(error)
        grown = self.mirror.entries - before
        if grown or self.frame is None:
            self._grew_at = self.clock.now()
        if grown or self._differs(fault, waiting):
            self._framed(fault, waiting)
        return grown == AT_ONCE

    def _differs(self, fault: str, waiting: tuple[str, ...]) -> bool:
        if self.frame is None:
            return True
        shown = self.frame.picture
        return (shown.fault, tuple(shown.snapshot.waiting)) != (fault, waiting)

    def _framed(self, fault: str, waiting: tuple[str, ...]) -> None:
        number = 1 if self.frame is None else self.frame.number + 1
        now = snapshot(self.mirror, waiting)
        story = [line(each) for each in list(self.mirror.story)[-LINES:]]
        picture = Picture(snapshot=now, fault=fault, grew_at=self._grew_at, story=story)
        self.frame = Frame(number, picture, f"id: {number}\ndata: {picture.model_dump_json()}\n\n".encode())
