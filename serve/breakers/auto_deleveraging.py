"""Trips when the venue takes a part of a hedge away: the next part may go as well, and depth is gone with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from envs.calibration import Positive
from serve.breaker import View
from serve.clock import SECOND
from serve.events import Deleveraged
from serve.states import BreakerClass, Discipline, Finding
from serve.threshold import TICKS, WHOLE, Gauge


class AutoDeleveraging(Gauge):
    """On each leg that is cut; clear once none was for a while. The engine hedges the rest anew by itself."""

    class Settings(Discipline):
        quiet_seconds: Positive

    settings: Settings
    kind: ClassVar = BreakerClass.MARKET
    hears: ClassVar = (Deleveraged, *TICKS)

    def findings(self, view: View) -> Mapping[str, Finding]:
        if isinstance(view.event, Deleveraged):
            words = f"the venue closed {view.event.units} of {view.event.symbol} at {view.event.price}"
            return {WHOLE: Finding(True, False, words)}
        quiet = view.time - self.settings.quiet_seconds * SECOND
        return {WHOLE: Finding(False, all(at <= quiet for at in view.deleveraged.values()), "nothing was cut since")}
