"""Trips when shocks feed on one another: forced selling begets forced selling, and hedges fill far away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from serve.breaker import View
from serve.events import BarClosed
from serve.states import BreakerClass, Finding
from serve.threshold import Ceiling, Gauge


class LiquidationCascade(Gauge):
    """On the filtered intensity of shocks, judged when a bar closes."""

    class Settings(Ceiling):
        """Entry and exit: intensity over its calm level."""

    settings: Settings
    kind: ClassVar = BreakerClass.MARKET
    hears: ClassVar = (BarClosed,)

    def findings(self, view: View) -> Mapping[str, Finding]:
        limit = self.settings
        return {
            asset: limit.finding(
                now, f"shocks of {asset} come {now:.1f} times as often as in calm, limit {limit.entry:g}"
            )
            for asset, now in view.intensity.items()
        }
