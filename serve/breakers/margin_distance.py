"""Trips when the hedge itself is near liquidation: taken away, it leaves the book bare at the worst time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from serve.breaker import View
from serve.events import QuoteEvent
from serve.states import BreakerClass, Finding
from serve.threshold import WHOLE, Floor, Gauge


class MarginDistance(Gauge):
    """On the move of the spot, either way, that would liquidate the nearest margin account."""

    class Settings(Floor):
        """Entry and exit: fraction of the spot."""

    settings: Settings
    kind: ClassVar = BreakerClass.LIMITS
    hears: ClassVar = (QuoteEvent,)

    def findings(self, view: View) -> Mapping[str, Finding]:
        if view.margin_distance is None:
            return {}
        words = f"a move of {view.margin_distance:.1%} liquidates, limit {self.settings.entry:.1%}"
        return {WHOLE: self.settings.finding(view.margin_distance, words)}
