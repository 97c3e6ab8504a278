"""Trips on money lost since the start, or since the best moment, once the loss is no phantom (Forven #92)."""

from __future__ import annotations

import math
from typing import ClassVar

from envs.calibration import Positive
from serve.breaker import Recollection, View
from serve.clock import SECOND
from serve.events import QuoteEvent
from serve.states import BreakerClass, Discipline, Finding
from serve.threshold import Above, worst


class Loss:
    """The profit as marked and the same smoothed must both have lost; a best moment must have been both too.

    The recollection is the best moment, the smoothed profit and when it was; all begin at 0.
    """

    class Settings(Discipline):
        loss: Above  # quote currency
        drawdown: Above  # quote currency, from the best moment
        half_life_seconds: Positive  # of the smoothing

    kind: ClassVar = BreakerClass.LIMITS

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def judge(self, view: View, memory: Recollection) -> tuple[Finding | None, Recollection]:
        if view.profit is None or not isinstance(view.event, QuoteEvent):
            return None, memory
        if not math.isfinite(view.profit):
            return Finding(True, False, f"profit is {view.profit}"), memory
        best, smoothed, when = memory or (0.0, 0.0, float(view.time))
        kept = 0.5 ** ((view.time - when) / SECOND / self.settings.half_life_seconds)
        smoothed = kept * smoothed + (1 - kept) * view.profit
        best = max(best, min(view.profit, smoothed))
        return self._finding(max(view.profit, smoothed), best), (best, smoothed, float(view.time))

    def _finding(self, profit: float, best: float) -> Finding:
        loss, drawdown = self.settings.loss, self.settings.drawdown
        lost = f"loss is {-profit:,.0f}, limit {loss.entry:,.0f}"
        down = f"drawdown is {best - profit:,.0f}, limit {drawdown.entry:,.0f}"
        return worst((loss.finding(-profit, lost), drawdown.finding(best - profit, down)))
