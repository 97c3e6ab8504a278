"""What waits between a feed and a core that may be slow: when it is many, quotes of one asset are merged."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from serve.events import Event, Malformed, QuoteEvent

MOST = 256  # that wait unmerged


class Coalescing:
    """In the order of arrival. Beyond MOST, each asset's quotes become its latest, in the place of its latest; it says
    how many it stands for. Malformed messages become the latest of their source likewise. Nothing else is merged, and
    nothing dropped.
    """

    def __init__(self) -> None:
        self._waiting, self._room = deque[Event](), MOST

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, event: Event) -> None:
        self._waiting.append(event)
        if len(self._waiting) > self._room:
            self._merge()
            self._room = max(MOST, 2 * len(self._waiting))

    def take(self) -> Event:
        """The first. Raises IndexError where nothing waits."""
        return self._waiting.popleft()

    def _merge(self) -> None:
        last, left = dict[tuple[type[Event], str], Event](), deque[Event]()
        for event in reversed(self._waiting):
            key = _key(event)
            if key is None:
                left.appendleft(event)
            elif key in last:
                last[key] = _merged(event, last[key])
            else:
                last[key] = event
                left.appendleft(event)
        self._waiting = deque(event if (key := _key(event)) is None else last[key] for event in left)


def _key(event: Event) -> tuple[type[Event], str] | None:
    if isinstance(event, QuoteEvent):
        return QuoteEvent, event.asset
    return (Malformed, event.source) if isinstance(event, Malformed) else None


def _merged(early: Event, late: Event) -> Event:
    """The later with what must not be lost of the earlier: how far the market went, and what was closed of whom."""
    if isinstance(early, QuoteEvent) and isinstance(late, QuoteEvent):
        return replace(
            late,
            low=min(early.low, late.low),
            high=max(early.high, late.high),
            deleveraged=max(early.deleveraged, late.deleveraged),
            merged=early.merged + late.merged + 1,
        )
    assert isinstance(early, Malformed)
    assert isinstance(late, Malformed)
    return replace(late, merged=early.merged + late.merged + 1)
