"""Trips when funding is so far from calm that holding the hedge costs more than it saves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from serve.breaker import View
from serve.events import QuoteEvent
from serve.states import BreakerClass, Finding
from serve.threshold import Ceiling, Gauge


class FundingExtreme(Gauge):
    """In either direction: an extreme premium is a sign of stress, whoever pays."""

    class Settings(Ceiling):
        """Entry and exit: |funding rate| per year."""

    settings: Settings
    kind: ClassVar = BreakerClass.MARKET
    hears: ClassVar = (QuoteEvent,)

    def findings(self, view: View) -> Mapping[str, Finding]:
        limit = self.settings
        return {
            asset: limit.finding(
                abs(quote.funding_rate),
                f"funding of {asset} is {quote.funding_rate:.0%} a year, limit {limit.entry:.0%}",
            )
            for asset, quote in view.quotes.items()
        }
