"""How long something took, counted into a histogram as Prometheus keeps them."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

from serve.clock import SECOND

EDGES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds
OPEN = 10_000  # beginnings remembered without an end; the oldest are forgotten


class Durations:
    def __init__(self) -> None:
        self.total = 0.0  # seconds
        self._counts = [0] * (len(EDGES) + 1)
        self._begun: dict[str, int] = {}

    def begin(self, name: str, now: int) -> None:
        self._begun[name] = now
        if len(self._begun) > OPEN:
            del self._begun[next(iter(self._begun))]

    def end(self, name: str, now: int) -> None:
        """Only the first end of each beginning counts."""
        if (begun := self._begun.pop(name, None)) is not None:
            seconds = (now - begun) / SECOND
            self.total += seconds
            self._counts[bisect_left(EDGES, seconds)] += 1

    def buckets(self) -> list[tuple[str, float]]:
        """Upper edge and how many took no longer."""
        return list(zip([*map(str, EDGES), "+Inf"], map(float, accumulate(self._counts)), strict=True))
