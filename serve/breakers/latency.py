"""Trips when the venue answers slowly: the quote that an order was priced on is gone when it arrives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from serve.breaker import View
from serve.events import VenueTime
from serve.states import BreakerClass, Finding
from serve.threshold import WHOLE, Ceiling, Gauge


class Latency(Gauge):
    """On each measured round trip."""

    class Settings(Ceiling):
        """Entry and exit: milliseconds there and back."""

    settings: Settings
    kind: ClassVar = BreakerClass.MARKET
    hears: ClassVar = (VenueTime,)

    def findings(self, view: View) -> Mapping[str, Finding]:
        if view.round_trip_ms is None:
            return {}
        words = f"a round trip took {view.round_trip_ms} ms, limit {self.settings.entry:g}"
        return {WHOLE: self.settings.finding(view.round_trip_ms, words)}
