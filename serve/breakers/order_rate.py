"""Trips when orders leave faster than any hedge needs: something is running away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from serve.breaker import View
from serve.states import BreakerClass, Finding
from serve.threshold import TICKS, WHOLE, Gauge, Windowed


class OrderRate(Gauge):
    """Every order counts from the moment it left, acknowledged or not (RTS 6, 15(2))."""

    class Settings(Windowed):
        """Entry and exit: orders within the window."""

    settings: Settings
    kind: ClassVar = BreakerClass.LIMITS
    hears: ClassVar = TICKS

    def findings(self, view: View) -> Mapping[str, Finding]:
        limit, count = self.settings, sum(at > self.settings.since(view.time) for at in view.sent)
        words = f"{count} orders left within {limit.window_seconds:g} s, limit {limit.entry:g}"
        return {WHOLE: limit.finding(count, words)}
