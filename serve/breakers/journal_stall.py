"""Trips when the journal takes too long to write: nothing may leave before it is written, so a hedge would wait too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from serve.breaker import View
from serve.events import JournalStalled
from serve.states import BreakerClass, Finding
from serve.threshold import WHOLE, Ceiling, Gauge


class JournalStall(Gauge):
    """On the time that a commit took."""

    class Settings(Ceiling):
        """Entry and exit: milliseconds."""

    settings: Settings
    kind: ClassVar = BreakerClass.INTEGRITY
    hears: ClassVar = (JournalStalled,)

    def findings(self, view: View) -> Mapping[str, Finding]:
        if view.commit_ms is None:
            return {}
        words = f"the journal took {view.commit_ms} ms to write, limit {self.settings.entry:g}"
        return {WHOLE: self.settings.finding(view.commit_ms, words)}
