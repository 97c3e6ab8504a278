"""What every event has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    time: int
