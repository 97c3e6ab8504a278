"""The only place where time is read. Times are milliseconds since 1970, UTC."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

SECOND = 1_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
YEAR = 8_760 * HOUR
FASTEST = 10_000.0  # times the wall, that a clock which nothing holds back is taken to go
_PASSING = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # never set, and not held up by a machine's sleep


class Clock(Protocol):
    def now(self) -> int: ...

    def wait_until(self, when: int) -> None:
        """Returns once `now()` is `when` or later."""
        ...

    def ahead(self, milliseconds: int) -> int:
        """What it shows when so many milliseconds more have passed on the wall, about."""
        ...


class RealClock:
    """The machine's clock when it was made, and what has passed since: no later step of the machine's is passed on.

    A machine that slept is later by as much. The breaker `clock_step` finds what parts from a venue's time.
    """

    def __init__(self) -> None:
        self._offset = time.time_ns() - time.clock_gettime_ns(_PASSING)

    def now(self) -> int:
        return (self._offset + time.clock_gettime_ns(_PASSING)) // 1_000_000

    def wait_until(self, when: int) -> None:
        while (left := when - self.now()) > 0:
            time.sleep(left / SECOND)

    def ahead(self, milliseconds: int) -> int:
        return self.now() + milliseconds


class VirtualClock:
    """A clock that moves when it is told to wait; with `speed`, that many times faster than the wall clock."""

    def __init__(self, start: int = 0, speed: float | None = None) -> None:
        self._now = start
        self._speed = speed

    def now(self) -> int:
        return self._now

    def wait_until(self, when: int) -> None:
        if self._speed is not None and self._now > 0:
            time.sleep(max(0, when - self._now) / SECOND / self._speed)
        self._now = max(self._now, when)

    def ahead(self, milliseconds: int) -> int:
        return self._now + round(milliseconds * (FASTEST if self._speed is None else self._speed))


def parse(text: str) -> int:
    """Milliseconds of an ISO 8601 time; one without a zone is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return round(moment.timestamp() * SECOND)


def show(when: int) -> str:
    """`when` as a person reads it."""
    moment = datetime.fromtimestamp(when / SECOND, UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S" if when % 60_000 else "%Y-%m-%d %H:%M")
