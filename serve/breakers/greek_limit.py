"""Trips when the book as it stands has more delta, gamma or position than it may."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from envs.calibration import Positive
from serve.breaker import Recollection, View
from serve.events import QuoteEvent
from serve.states import BreakerClass, Discipline, Finding


class GreekLimit:
    """Judged at quotes, on sizes without their sign; the limit used most decides."""

    class Settings(Discipline):
        max_delta: Positive  # of book and hedge, base units
        max_gamma: Positive  # of the book, base units per 1 % of spot
        max_position: Positive  # of the hedge, base units
        exit_fraction: float = Field(gt=0, le=1)  # of each limit

    kind: ClassVar = BreakerClass.LIMITS

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def judge(self, view: View, memory: Recollection) -> tuple[Finding | None, Recollection]:
        if not view.delta or not isinstance(view.event, QuoteEvent):
            return None, memory
        limits = self.settings
        measured = (
            ("delta", max(map(abs, view.delta.values())), limits.max_delta),
            ("gamma", max(map(abs, view.gamma.values())), limits.max_gamma),
            ("position", max(map(abs, view.position.values())), limits.max_position),
        )
        name, size, limit = max(measured, key=lambda entry: entry[1] / entry[2])
        reason = f"{name} is {size:.4g}, limit {limit:g}"
        return Finding(size > limit, size <= limits.exit_fraction * limit, reason), memory
