"""How strict the engine is, and how a breaker moves it: confirmations in, dwell and rungs out, latches for a person."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

from pydantic import Field

from envs.calibration import Positive, Section
from serve.clock import HOUR, SECOND
from serve.frozen import replace


class RiskState(IntEnum):
    ACTIVE = 0  # the learned policy
    FALLBACK = 1  # the banded analytic hedge
    REDUCING = 2  # the analytic hedge, and only orders that shrink |delta|
    HALTED = 3  # nothing but cancels; leaving takes a person


class BreakerClass(Enum):
    """What a breaker guards, and so what it takes when it trips or raises."""

    POLICY = "policy"
    DATA = "data"  # whether the market's numbers may be believed: until a breach is confirmed, nothing is decided
    MARKET = "market"
    LIMITS = "limits"
    INTEGRITY = "integrity"

    @property
    def takes(self) -> RiskState:
        return _TAKES[self]


_TAKES = {
    BreakerClass.POLICY: RiskState.FALLBACK,
    BreakerClass.DATA: RiskState.REDUCING,
    BreakerClass.MARKET: RiskState.REDUCING,
    BreakerClass.LIMITS: RiskState.REDUCING,
    BreakerClass.INTEGRITY: RiskState.HALTED,
}


class Discipline(Section):
    """What every breaker's settings have; none has a default."""

    confirmations: int = Field(gt=0)  # breaches in a row that trip it
    dwell_seconds: Positive  # without a breach, per rung down
    latch_trips: int = Field(gt=0)  # trips within an hour that latch it for a person


@dataclass(frozen=True)
class Finding:
    """One judgement: `breached` beyond the entry, `clear` within the exit, neither in between."""

    breached: bool
    clear: bool
    reason: str


@dataclass(frozen=True)
class Monitor:
    """Where one breaker stands."""

    level: RiskState = RiskState.ACTIVE
    breaches: int = 0  # in a row, counted as far as the confirmations needed
    suspicious: bool = False  # a breach was seen that is not confirmed yet
    clear_since: int | None = None
    trips: tuple[int, ...] = ()  # times, within the last hour
    latched: bool = False
    reason: str = ""


def judged(monitor: Monitor, finding: Finding, takes: RiskState, rules: Discipline, now: int) -> Monitor:
    """The monitor after one finding at `now`."""
    if finding.breached:
        return _breached(replace(monitor, clear_since=None), finding.reason, takes, rules, now)
    if monitor.breaches or monitor.suspicious:
        monitor = replace(monitor, breaches=0, suspicious=False)
    if finding.clear:
        return _cleared(monitor, rules, now)
    return monitor if monitor.clear_since is None else replace(monitor, clear_since=None)


def tripped(monitor: Monitor, reason: str, takes: RiskState, latch_trips: int, now: int) -> Monitor:
    """The monitor raised to `takes` without waiting for confirmations; HALTED always latches."""
    trips = (*(at for at in monitor.trips if now - at < HOUR), now)[-latch_trips:]
    latched = monitor.latched or takes is RiskState.HALTED or len(trips) >= latch_trips
    level = max(takes, monitor.level)
    return replace(monitor, level=level, clear_since=None, trips=trips, latched=latched, reason=reason)


def acknowledged(monitor: Monitor, now: int) -> Monitor:
    """The monitor after a person's word: unlatched, its trips forgotten, and one rung below HALTED if it was there."""
    return replace(monitor, level=min(monitor.level, RiskState.REDUCING), latched=False, trips=(), clear_since=now)


def _breached(monitor: Monitor, reason: str, takes: RiskState, rules: Discipline, now: int) -> Monitor:
    breaches = min(monitor.breaches + 1, rules.confirmations)
    monitor = replace(monitor, breaches=breaches, suspicious=breaches < rules.confirmations)
    if monitor.suspicious or monitor.level >= takes:
        return monitor
    return tripped(monitor, reason, takes, rules.latch_trips, now)


def _cleared(monitor: Monitor, rules: Discipline, now: int) -> Monitor:
    if monitor.level is RiskState.ACTIVE or monitor.latched:
        return monitor
    if monitor.clear_since is None:
        return replace(monitor, clear_since=now)
    if now - monitor.clear_since < rules.dwell_seconds * SECOND:
        return monitor
    return replace(monitor, level=RiskState(monitor.level - 1), clear_since=now)
