from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve.clock import HOUR, SECOND
from serve.states import BreakerClass, Discipline, Finding, Monitor, RiskState, acknowledged, judged, tripped

RULES = Discipline(confirmations=3, dwell_seconds=600, latch_trips=3)
BREACH, CLEAR, BETWEEN = (Finding(True, False, "over"), Finding(False, True, "under"), Finding(False, False, "between"))
REDUCING = RiskState.REDUCING


def fed(findings: list[tuple[int, Finding]], monitor: Monitor | None = None) -> Monitor:
    monitor = Monitor() if monitor is None else monitor
    for at, finding in findings:
        monitor = judged(monitor, finding, REDUCING, RULES, at * SECOND)
    return monitor


def test_confirmations_are_in_a_row() -> None:
    assert fed([(0, BREACH), (1, BREACH)]).level is RiskState.ACTIVE
    assert fed([(0, BREACH), (1, BREACH), (2, BETWEEN), (3, BREACH)]).level is RiskState.ACTIVE
    trip = fed([(0, BREACH), (1, BREACH), (2, BREACH)])
    assert (trip.level, trip.reason, trip.trips) == (REDUCING, "over", (2 * SECOND,))


def test_recovers_one_rung_per_dwell() -> None:
    trip = fed([(k, BREACH) for k in range(3)])
    assert fed([(10, CLEAR), (609, CLEAR)], trip).level is REDUCING
    assert fed([(10, CLEAR), (610, CLEAR)], trip).level is RiskState.FALLBACK
    assert fed([(10, CLEAR), (610, CLEAR), (1209, CLEAR)], trip).level is RiskState.FALLBACK
    assert fed([(10, CLEAR), (610, CLEAR), (1210, CLEAR)], trip).level is RiskState.ACTIVE
    assert fed([(10, CLEAR), (300, BETWEEN), (610, CLEAR)], trip).level is REDUCING
    assert fed([(10, CLEAR), (300, BREACH), (610, CLEAR)], trip).level is REDUCING


def test_trips_within_an_hour_latch_and_a_person_releases() -> None:
    monitor = Monitor()
    for k in range(3):
        monitor = tripped(monitor, "again", REDUCING, RULES.latch_trips, k * 1000 * SECOND)
        assert monitor.latched == (k == 2)
    assert fed([(10_000, CLEAR), (20_000, CLEAR)], monitor).level is REDUCING
    released = acknowledged(monitor, 20_000 * SECOND)
    assert fed([(20_600, CLEAR)], released).level is RiskState.FALLBACK


def test_trips_spread_over_more_than_an_hour_do_not_latch() -> None:
    monitor = Monitor()
    for k in range(6):
        monitor = tripped(monitor, "again", REDUCING, RULES.latch_trips, k * (HOUR // 2 + 1))
    assert not monitor.latched


def test_halting_always_latches_and_leaves_by_a_person_only() -> None:
    halted = tripped(Monitor(), "broken", RiskState.HALTED, 99, 0)
    assert halted.latched
    assert fed([(k * 1000, CLEAR) for k in range(9)], halted).level is RiskState.HALTED
    assert acknowledged(halted, 0).level is REDUCING


def test_what_each_class_takes() -> None:
    names = {kind.name: kind.takes.name for kind in BreakerClass}
    assert names == {
        "POLICY": "FALLBACK",
        "DATA": "REDUCING",
        "MARKET": "REDUCING",
        "LIMITS": "REDUCING",
        "INTEGRITY": "HALTED",
    }


@given(st.lists(st.tuples(st.integers(1, 400), st.sampled_from([BREACH, CLEAR, BETWEEN])), max_size=80))
def test_never_flaps(steps: list[tuple[int, Finding]]) -> None:
    """Up only on N breaches in a row; down one rung, and only after a dwell without anything but clear findings."""
    monitor, now, row, clear_from = Monitor(), 0, 0, None
    for gap, finding in steps:
        now += gap
        after = judged(monitor, finding, REDUCING, RULES, now * SECOND)
        row = row + 1 if finding.breached else 0
        clear_from = (now if clear_from is None else clear_from) if finding.clear else None
        if after.level > monitor.level:
            assert row >= RULES.confirmations
        if after.level < monitor.level:
            assert after.level == monitor.level - 1
            assert clear_from is not None
            assert now - clear_from >= RULES.dwell_seconds
            assert not monitor.latched
            clear_from = now
        assert sum(now * SECOND - at < HOUR for at in after.trips) < RULES.latch_trips or after.latched
        monitor = after
