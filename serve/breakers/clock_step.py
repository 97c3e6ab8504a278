"""Trips when our clock and the venue's part: ages, expiries and order lives would all be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from serve.breaker import View
from serve.events import VenueTime
from serve.states import BreakerClass, Finding
from serve.threshold import WHOLE, Ceiling, Gauge


class ClockStep(Gauge):
    """On each measurement, whichever clock is ahead."""

    class Settings(Ceiling):
        """Entry and exit: milliseconds apart."""

    settings: Settings
    kind: ClassVar = BreakerClass.INTEGRITY
    hears: ClassVar = (VenueTime,)

    def findings(self, view: View) -> Mapping[str, Finding]:
        if view.skew_ms is None:
            return {}
        words = f"the venue's clock is {view.skew_ms:+d} ms from ours, limit {self.settings.entry:g}"
        return {WHOLE: self.settings.finding(abs(view.skew_ms), words)}
