"""Trips when an input is older than it may be: a feed can fall silent with its connection open (Nautilus #4298)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

from serve.breaker import Recollection, View
from serve.clock import SECOND
from serve.events import Started
from serve.states import BreakerClass, Discipline, Finding
from serve.threshold import Above

PRICES = ("spot", "mark", "funding", "surface")
REPORTS = ("orders", "positions", "balance")
Aged = tuple[Above, str, float]  # the limit of an input, its name and seconds


class StaleInput:
    """An age counts from the market's own time of the input, so a feed that repeats itself is stale.

    A price ages only while its market is open, and nothing is older than the session: what was journalled before a
    restart has time to come again, and no decision is made on it. The recollection is the session's beginning and, for
    each asset, when its market was last found shut.
    """

    class Settings(Discipline):
        spot: Above  # seconds, as all of them
        mark: Above
        funding: Above
        surface: Above
        orders: Above  # the venue's reports
        positions: Above  # those of the account too that is the book
        balance: Above

    kind: ClassVar = BreakerClass.DATA

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def judge(self, view: View, memory: Recollection) -> tuple[Finding | None, Recollection]:
        assets, now = sorted(view.market_open), float(view.time)
        begins = not memory or isinstance(view.event, Started)
        began, *opened = (now,) * (1 + len(assets)) if begins else memory
        since = {name: at if view.market_open[name] else now for name, at in zip(assets, opened, strict=True)}
        return self._worst(list(self._aged(view, began, since))), (began, *since.values())

    def _aged(self, view: View, began: float, since: dict[str, float]) -> Iterator[Aged]:
        for name in PRICES:
            for asset, opened in since.items():
                yield self._of(name, f"{name}:{asset}", view, opened)
        for name in REPORTS:
            yield self._of(name, name, view, began)
        if "account" in view.ages:
            yield self._of("positions", "account", view, began)

    def _of(self, name: str, key: str, view: View, since: float) -> Aged:
        return getattr(self.settings, name), key, min(view.ages.get(key, math.inf), view.time - since) / SECOND

    def _worst(self, every: Sequence[Aged]) -> Finding:
        """As `threshold.worst` has it, in words for that one alone."""
        limit, key, age = min(every, key=lambda each: (each[2] <= each[0].entry, each[2] <= each[0].exit))
        return limit.finding(age, f"{key} is {age:.1f} s old, limit {limit.entry:g} s")
