"""Numbers with an entry and an exit, so that most breakers are a reading and a sentence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar, Self

from pydantic import Field, model_validator

from envs.calibration import NonNegative, Section
from serve.breaker import Recollection, View
from serve.clock import HOUR, SECOND
from serve.events import Event, Heartbeat, QuoteEvent
from serve.states import BreakerClass, Discipline, Finding

WHOLE = ""  # the key of a finding that is no asset's
TICKS = (QuoteEvent, Heartbeat)


class Above(Section):
    """Too much of something: a breach beyond `entry`, clear again from `exit` down. What is no number is a breach."""

    entry: NonNegative
    exit: NonNegative

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.exit >= self.entry:
            raise ValueError(f"exit = {self.exit:g} must be below entry = {self.entry:g}")
        return self

    def finding(self, value: float, words: str) -> Finding:
        return Finding(not value <= self.entry, value <= self.exit, words)


class Below(Section):
    """Too little of something: a breach under `entry`, clear again from `exit` up. What is no number is a breach."""

    entry: NonNegative
    exit: NonNegative

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.exit <= self.entry:
            raise ValueError(f"exit = {self.exit:g} must be above entry = {self.entry:g}")
        return self

    def finding(self, value: float, words: str) -> Finding:
        return Finding(not value >= self.entry, value >= self.exit, words)


class Ceiling(Discipline, Above):
    """The settings of a breaker on one number that may be too large."""


class Floor(Discipline, Below):
    """The settings of a breaker on one number that may be too small."""


class Windowed(Ceiling):
    """The settings of a breaker that counts what happened of late; the core remembers an hour."""

    window_seconds: float = Field(gt=0, le=HOUR / SECOND)

    def since(self, now: int) -> float:
        """The window's beginning."""
        return now - self.window_seconds * SECOND


class Gauge(ABC):
    """A breaker without a memory: findings on the events that it hears, for each asset or on the whole."""

    Settings: ClassVar[type[Discipline]]
    kind: ClassVar[BreakerClass]
    hears: ClassVar[tuple[type[Event], ...]]
    settings: Discipline

    def __init__(self, settings: Discipline) -> None:
        self.settings = settings

    @abstractmethod
    def findings(self, view: View) -> Mapping[str, Finding]:
        """By asset, or under WHOLE; what is not known yet is left out."""

    def judge(self, view: View, memory: Recollection) -> tuple[Finding | None, Recollection]:
        """An asset's own news is a finding on that asset."""
        if not isinstance(view.event, self.hears):
            return None, memory
        findings, asset = self.findings(view), getattr(view.event, "asset", None)
        news = set(findings) if asset is None else {asset, WHOLE}
        return newest(findings, news), memory


def newest(findings: Mapping[str, Finding], news: set[str]) -> Finding | None:
    """What to say when only `news` has changed: an old breach neither confirms itself nor is cleared by others."""
    new = [finding for name, finding in findings.items() if name in news]
    if not new or any(finding.breached for finding in new):
        return worst(new) if new else None
    old = [finding for name, finding in findings.items() if name not in news]
    return None if any(finding.breached for finding in old) else worst([*new, *old])


def worst(findings: Iterable[Finding]) -> Finding:
    """Of one or more: the first breach, else the first that is not clear."""
    return min(findings, key=lambda each: (not each.breached, each.clear))
