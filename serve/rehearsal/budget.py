"""How many requests the venue takes: a bucket that the exchange's time refills."""

from __future__ import annotations

from serve.clock import SECOND

BURST = 200.0  # in reads, which cost 1 each
PER_SECOND = 20.0


class Budget:
    def __init__(self) -> None:
        self._left, self._at = BURST, 0

    def spent(self, cost: int, now: int) -> bool:
        """Whether there was enough."""
        self._left = min(BURST, self._left + PER_SECOND * (now - self._at) / SECOND)
        self._at = now
        if cost > self._left:
            return False
        self._left -= cost
        return True
