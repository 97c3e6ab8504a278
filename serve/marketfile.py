"""The market beside its quotes, from a file that someone else appends to: one JSON object a line.

`{"type": "SurfaceQuote", "asset": "BTC", "quoted_at": …, "points": [[expiry, strike, volatility], …]}` lists implied
volatilities, `{"type": "SourcePrice", "asset": "BTC", "source": "…", "price": …, "quoted_at": …}` what an independent
source says. Times are milliseconds since 1970, UTC.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from serve.events import Event, QuoteEvent, SourcePrice, SurfaceQuote
from serve.lines import Lines
from serve.state import State

KINDS = (SurfaceQuote, SourcePrice)


class MarketFile:
    """Looked at with every quote."""

    def __init__(self, path: Path, after: int, paced: bool, past: Iterable[Event] = ()) -> None:
        """`after`: what was quoted before was told before a restart; and what was malformed, if it is in the `past`.
        `paced`: beside recorded bars a line waits until the recorded time is the one it was quoted at.
        """
        self._lines, self._after, self._paced = Lines(path), after, paced
        self._told = sum(map(self._lines.told, past))  # malformed lines that were told already
        self._waiting = deque[Event]()

    def saw(self, quote: QuoteEvent, state: State) -> tuple[Event, ...]:
        """What the lines say whose time has come."""
        found = self._lines.events(quote.time, KINDS)
        self._waiting.extend(event for event in found if self._new(event))
        told = list[Event]()
        while self._waiting and not (self._paced and _quoted_at(self._waiting[0], 0) > quote.time):
            told.append(replace(self._waiting.popleft(), time=quote.time))
        return tuple(told)

    def _new(self, event: Event) -> bool:
        if isinstance(event, KINDS):
            return event.quoted_at > self._after
        self._told -= 1
        return self._told < 0


def _quoted_at(event: Event, malformed: int) -> int:
    """What is malformed has no time of its own."""
    return event.quoted_at if isinstance(event, KINDS) else malformed
