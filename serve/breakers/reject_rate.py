"""Trips when the venue refuses too many of our orders: the hedge that we believe in is not being made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from serve.breaker import View
from serve.states import BreakerClass, Finding
from serve.threshold import TICKS, WHOLE, Gauge, Windowed


class RejectRate(Gauge):
    """Of the orders within the window; a few orders count as `fewest_orders`, so that one refusal is no rate."""

    class Settings(Windowed):
        """Entry and exit: rejections over orders sent."""

        fewest_orders: int = Field(gt=0)

    settings: Settings
    kind: ClassVar = BreakerClass.LIMITS
    hears: ClassVar = TICKS

    def findings(self, view: View) -> Mapping[str, Finding]:
        limit, since = self.settings, self.settings.since(view.time)
        refused, sent = (sum(at > since for at in times) for times in (view.rejections, view.sent))
        share = refused / max(sent, limit.fewest_orders)
        words = f"{refused} of {sent} orders were rejected within {limit.window_seconds:g} s, limit {limit.entry:.0%}"
        return {WHOLE: limit.finding(share, words)}
