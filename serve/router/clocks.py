"""The clocks of several rehearsals as one."""

from __future__ import annotations

from collections.abc import Sequence

from serve.clock import Clock
from serve.rehearsal.clock import STEP


class Together:
    """It shows the earliest; none goes ahead of another by more than a step."""

    def __init__(self, clocks: Sequence[Clock]) -> None:
        self._clocks = clocks

    def now(self) -> int:
        return min(clock.now() for clock in self._clocks)

    def wait_until(self, when: int) -> None:
        while (now := self.now()) < when:
            for clock in self._clocks:
                clock.wait_until(min(when, now + STEP))

    def ahead(self, milliseconds: int) -> int:
        return min(clock.ahead(milliseconds) for clock in self._clocks)
