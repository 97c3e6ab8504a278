"""What several venues show of an asset, as one ticker."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serve.venues.exchange import Tick


class Quoting:
    """`fresh`: milliseconds that a ticker may be older than the newest one of its asset."""

    def __init__(self, fresh: float) -> None:
        self._fresh = fresh
        self._last: dict[str, dict[str, Tick]] = {}  # by asset and venue

    def shown(self, venue: str, ticks: Iterable[Tick], out: Collection[str]) -> Iterator[Tick]:
        """One for each of the venue's. Those that are `out` count only where all are."""
        for tick in ticks:
            own = self._last.setdefault(tick.asset, {})
            own[venue] = tick
            yield self._merged([each for name, each in own.items() if name not in out] or list(own.values()))

    def _merged(self, ticks: list[Tick]) -> Tick:
        """Medians of the prices and rates, the depths together, and the narrowest spread."""
        newest = max(ticks, key=lambda each: each.reading.time)
        fresh = [each for each in ticks if newest.reading.time - each.reading.time <= self._fresh]
        reading = replace(
            newest.reading,
            index=median(each.reading.index for each in fresh),
            mark=median(each.reading.mark for each in fresh),
            funding_rate=median(each.reading.funding_rate for each in fresh),
        )
        spread = min(each.half_spread for each in fresh)
        return replace(newest, reading=reading, half_spread=spread, depth=sum(each.depth for each in fresh))
