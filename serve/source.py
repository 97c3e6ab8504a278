"""Which quotes a session on paper hedges by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from serve.clock import Clock


@dataclass(frozen=True)
class Source:
    """Which quotes: `bars` (a shipped name or file per asset) from `first` for `days`, or ticks of a `follow` file."""

    bars: tuple[str, ...]
    first: int
    days: int
    speed: float | None = None  # times the wall clock; None: as fast as it goes
    follow: Path | None = None
    clock: Clock | None = None  # to follow by, where it is not the machine's
    stop_at: int | None = None
    market: Path | None = None  # a file of listed volatilities and other sources' prices
    funding: tuple[str, ...] = ()  # recorded, a shipped name or file per asset; (): the calibrated mean
