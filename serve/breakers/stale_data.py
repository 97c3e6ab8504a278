"""Trips when the market data is older than it may be, or dated in the future."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import model_validator

from envs.calibration import Positive
from serve.breaker import Recollection, View
from serve.clock import SECOND
from serve.states import BreakerClass, Discipline, Finding


class StaleData:
    """Age is the engine's time less the market's own time of the last quote, so a feed that repeats itself is stale."""

    class Settings(Discipline):
        entry_seconds: Positive
        exit_seconds: Positive
        future_seconds: Positive  # how far ahead of the engine a quote may be dated

        @model_validator(mode="after")
        def _ordered(self) -> Self:
            if self.exit_seconds > self.entry_seconds:
                raise ValueError("exit_seconds must not exceed entry_seconds")
            return self

    kind: ClassVar = BreakerClass.MARKET

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def judge(self, view: View, memory: Recollection) -> tuple[Finding | None, Recollection]:
        open_assets = [name for name, is_open in view.market_open.items() if is_open and f"spot:{name}" in view.ages]
        if not open_assets:
            return None, memory
        age = max(view.ages[f"spot:{name}"] for name in open_assets) / SECOND
        if age < -self.settings.future_seconds:
            return Finding(True, False, f"quote is dated {-age:.1f} s in the future"), memory
        reason = f"last quote is {age:.1f} s old, limit {self.settings.entry_seconds:g} s"
        return Finding(age > self.settings.entry_seconds, age <= self.settings.exit_seconds, reason), memory
