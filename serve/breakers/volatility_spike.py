"""Trips when the filtered volatility is beyond what the session is meant for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from serve.breaker import View
from serve.events import BarClosed
from serve.states import BreakerClass, Finding
from serve.threshold import Ceiling, Gauge


class VolatilitySpike(Gauge):
    """Judged when a bar closes, as the filter moves then and only then."""

    class Settings(Ceiling):
        """Entry and exit: volatility per √year."""

    settings: Settings
    kind: ClassVar = BreakerClass.MARKET
    hears: ClassVar = (BarClosed,)

    def findings(self, view: View) -> Mapping[str, Finding]:
        limit = self.settings
        return {
            asset: limit.finding(now, f"filtered volatility of {asset} is {now:.0%} a year, limit {limit.entry:.0%}")
            for asset, now in view.volatility.items()
        }
