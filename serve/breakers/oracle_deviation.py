"""Trips when the index we trade on is far from what independent sources say, or when too few of those are left."""

from __future__ import annotations

from typing import ClassVar

from envs.calibration import Positive
from serve.breaker import Recollection, View
from serve.clock import SECOND
from serve.events import QuoteEvent, SourcePrice
from serve.oracle import Price
from serve.states import BreakerClass, Finding
from serve.threshold import Ceiling, newest


class OracleDeviation:
    """A quorum that is lost is doubted at once, and a breach confirmed only when it stays lost: sources come and go.

    The recollection is, for each asset, since when the quorum is lost; 0 while there is one.
    """

    class Settings(Ceiling):
        """Entry and exit: |ln(index over the oracle's price)|."""

        silent_seconds: Positive  # that a quorum may be lost, with nothing decided meanwhile

    kind: ClassVar = BreakerClass.DATA
    hears: ClassVar = (QuoteEvent, SourcePrice)

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def judge(self, view: View, memory: Recollection) -> tuple[Finding | None, Recollection]:
        """A loss that is neither new nor long is no news."""
        if not isinstance(view.event, self.hears) or view.event.asset not in view.prices:
            return None, memory
        assets, now = sorted(view.market_open), float(view.time)
        before = memory or (0.0,) * len(assets)
        lost = [not view.prices[name].quorate if name in view.prices else False for name in assets]
        since = tuple((then or now) if gone else 0.0 for then, gone in zip(before, lost, strict=True))
        place = assets.index(view.event.asset)
        if lost[place] and before[place] and now - since[place] < self.settings.silent_seconds * SECOND:
            return None, since
        findings = {name: self._compared(view, price) for name, price in view.prices.items()}
        return newest(findings, {view.event.asset}), since

    def _compared(self, view: View, price: Price) -> Finding:
        if not price.quorate:
            return Finding(True, False, f"{price.asset} has no quorum: {price.words()}")
        spot = view.quotes[price.asset].spot
        off = price.off(spot)
        if off <= self.settings.exit:
            return Finding(False, True, "")
        words = f"{price.asset} at {spot:.2f} is {off:.2%} from {price.words()}"
        return self.settings.finding(off, f"{words}, limit {self.settings.entry:.2%}")
