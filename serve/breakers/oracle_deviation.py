"""Trips when the spot we trade on is far from what independent sources say, or when those fall silent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median
from typing import ClassVar

from pydantic import Field

from envs.calibration import Positive
from serve.breaker import View
from serve.clock import SECOND
from serve.events import QuoteEvent, SourcePrice
from serve.states import BreakerClass, Finding
from serve.threshold import Ceiling, Gauge


class OracleDeviation(Gauge):
    """Against the median of the sources that are fresh, so that one source that is off moves nothing.

    An asset with fewer sources than are asked for from the start is not judged.
    """

    class Settings(Ceiling):
        """Entry and exit: |ln(spot over median)|."""

        fewest_sources: int = Field(gt=0)
        source_seconds: Positive  # older prices do not count

    settings: Settings
    kind: ClassVar = BreakerClass.DATA
    hears: ClassVar = (QuoteEvent, SourcePrice)

    def findings(self, view: View) -> Mapping[str, Finding]:
        told = {name: own for name, own in view.sources.items() if len(own) >= self.settings.fewest_sources}
        return {name: self._compared(view, name) for name in told if name in view.quotes}

    def _compared(self, view: View, asset: str) -> Finding:
        oldest, spot = view.time - self.settings.source_seconds * SECOND, view.quotes[asset].spot
        prices = [price for _, price, quoted_at in view.sources[asset] if quoted_at >= oldest]
        if len(prices) < self.settings.fewest_sources:
            return Finding(True, False, f"{len(prices)} of {len(view.sources[asset])} sources of {asset} are fresh")
        middle = median(prices)
        off = abs(math.log(spot / middle))
        words = f"{asset} at {spot:.2f} is {off:.2%} from the median {middle:.2f} of {len(prices)} sources"
        return self.settings.finding(off, f"{words}, limit {self.settings.entry:.2%}")
