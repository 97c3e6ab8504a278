"""The machine's clock: what has passed counts, whatever becomes of the wall clock."""

from __future__ import annotations

import time

import pytest

from serve.clock import HOUR, RealClock

BEGAN = 1_700_000_000 * 10**9


@pytest.mark.parametrize("step", [-HOUR, HOUR])
def test_a_wall_clock_that_is_set_neither_holds_the_clock_up_nor_drives_it_on(
    step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall, passed = [BEGAN], [5 * 10**9]
    monkeypatch.setattr(time, "time_ns", lambda: wall[0])
    monkeypatch.setattr(time, "clock_gettime_ns", lambda clock: passed[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: passed.__setitem__(0, passed[0] + round(seconds * 1e9)))
    clock = RealClock()
    assert clock.now() == BEGAN // 10**6
    wall[0] += step * 10**6
    assert clock.now() == BEGAN // 10**6
    clock.wait_until(clock.now() + 250)
    assert clock.now() == BEGAN // 10**6 + 250
