"""Trips when our own trading looks like abuse, whatever was meant: layering, wash trades, orders that cross our own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from serve.breaker import View
from serve.clock import HOUR, SECOND
from serve.states import BreakerClass, Discipline, Finding
from serve.threshold import TICKS, WHOLE, Above, Gauge, worst


class OwnPatterns(Gauge):
    """On three counts within the window (RTS 6, 13: surveillance of one's own orders)."""

    class Settings(Discipline):
        window_seconds: float = Field(gt=0, le=HOUR / SECOND)
        pulled: Above  # orders that were placed and cancelled without a fill: layering
        turned: Above  # fills that undo the leg's fill before: buying from oneself by way of the market
        crossed: Above  # orders sent while one of ours might still trade on the other side of the same leg

    settings: Settings
    kind: ClassVar = BreakerClass.LIMITS
    hears: ClassVar = TICKS

    def findings(self, view: View) -> Mapping[str, Finding]:
        limits = self.settings
        since = view.time - limits.window_seconds * SECOND
        counts = (
            (limits.pulled, view.pulled, "orders were cancelled without a fill"),
            (limits.turned, view.turned, "fills undid the fill before"),
            (limits.crossed, view.crossed, "orders met one of ours on the other side"),
        )
        return {WHOLE: worst([_counted(limit, times, since, words) for limit, times, words in counts])}


def _counted(limit: Above, times: tuple[int, ...], since: float, words: str) -> Finding:
    count = sum(at > since for at in times)
    return limit.finding(count, f"{count} {words}, limit {limit.entry:g}")
