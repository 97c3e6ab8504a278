"""Trips when fills are worse than the quotes that they were decided on: the market is not what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from serve.breaker import View
from serve.states import BreakerClass, Finding
from serve.threshold import TICKS, WHOLE, Gauge, Windowed


class Slippage(Gauge):
    """The mean over the window; fewer than `fewest_fills` prove nothing."""

    class Settings(Windowed):
        """Entry and exit: basis points of the price, worse than the mark at the decision."""

        fewest_fills: int = Field(gt=0)

    settings: Settings
    kind: ClassVar = BreakerClass.MARKET
    hears: ClassVar = TICKS

    def findings(self, view: View) -> Mapping[str, Finding]:
        limit, since = self.settings, self.settings.since(view.time)
        fills = [worse for at, worse in view.slippages if at > since]
        mean = sum(fills) / len(fills) if len(fills) >= limit.fewest_fills else 0.0
        words = f"{len(fills)} fills were {mean:.1f} bp worse than the mark on average, limit {limit.entry:g}"
        return {WHOLE: limit.finding(mean, words)}
