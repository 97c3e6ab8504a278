"""Trips when decisions trade again and again; only a person lets the policy on again (RTS 6, 15(3))."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from serve.breaker import View
from serve.states import BreakerClass, Finding
from serve.threshold import TICKS, WHOLE, Gauge, Windowed


class RepeatedExecution(Gauge):
    """Latches at its first trip. Hedging goes on under REDUCING: a loop can then not add risk."""

    class Settings(Windowed):
        """Entry and exit: decisions that traded within the window."""

        latch_trips: Literal[1]

    settings: Settings
    kind: ClassVar = BreakerClass.LIMITS
    hears: ClassVar = TICKS

    def findings(self, view: View) -> Mapping[str, Finding]:
        limit, count = self.settings, sum(at > self.settings.since(view.time) for at in view.executions)
        words = f"{count} decisions traded within {limit.window_seconds:g} s, limit {limit.entry:g}"
        return {WHOLE: limit.finding(count, words)}
