"""Trips when the spread is wide or the book is thin: a hedge would cost more than the risk it takes away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from serve.breaker import View
from serve.events import QuoteEvent
from serve.states import BreakerClass, Discipline, Finding
from serve.threshold import Above, Below, Gauge, worst


class LiquidityCollapse(Gauge):
    """Spread and depth as quoted; the worse of the two decides."""

    class Settings(Discipline):
        half_spread: Above  # fraction of the mark
        depth: Below  # quote currency

    settings: Settings
    kind: ClassVar = BreakerClass.MARKET
    hears: ClassVar = (QuoteEvent,)

    def findings(self, view: View) -> Mapping[str, Finding]:
        return {asset: worst(self._both(asset, quote)) for asset, quote in view.quotes.items()}

    def _both(self, asset: str, quote: QuoteEvent) -> tuple[Finding, Finding]:
        spread, depth = self.settings.half_spread, self.settings.depth
        wide = f"half-spread of {asset} is {quote.half_spread:.3%}, limit {spread.entry:.3%}"
        thin = f"depth of {asset} is {quote.depth:,.0f}, limit {depth.entry:,.0f}"
        return spread.finding(quote.half_spread, wide), depth.finding(quote.depth, thin)
