"""What may leave: every order is judged on the book as it would stand after the fill, orders in flight included."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from pydantic import Field

from envs.calibration import Section
from serve.clock import SECOND
from serve.states import RiskState


class Limits(Section):
    """None has a default: a limit that nobody set is no limit."""

    max_order: Decimal = Field(gt=0)  # base units; a larger hedge goes out in slices, one per decision
    max_position: Decimal = Field(gt=0)  # base units of the hedge
    max_delta: Decimal = Field(gt=0)  # base units, book and hedge together
    collar: Decimal = Field(gt=0, lt=1)  # of the perpetual's mark, and of what is paid, around the index
    max_messages: int = Field(gt=0)  # orders within `per_seconds`
    per_seconds: int = Field(gt=0)


@dataclass(frozen=True)
class Exposure:
    """The book before the order, base units."""

    position: Decimal  # of the hedge
    buying: Decimal  # in flight
    selling: Decimal  # in flight, negative
    book_delta: Decimal  # of the options alone
    spot: Decimal
    mark: Decimal
    sent: tuple[int, ...]  # when past orders left


@dataclass(frozen=True)
class Ruling:
    """What may be sent (0: denied), and what was cut and why; no reason where nothing was."""

    units: Decimal
    reason: str


def ruled(limits: Limits, wanted: Decimal, exposure: Exposure, state: RiskState, lot: Decimal, now: int) -> Ruling:
    """The part of `wanted` that may leave in `state`."""
    if (reason := _forbidden(limits, exposure, state, now)) is not None:
        return Ruling(Decimal(0), reason)
    units, reason = wanted, ""
    for bound, words in _bounds(limits, wanted, exposure, state):
        if abs(units) > bound:
            units, reason = _down(bound, lot).copy_sign(wanted), words
    if units == 0:
        return Ruling(Decimal(0), reason)
    return _delta_after(limits, units, exposure, reason)


def messages_left(limits: Limits, sent: tuple[int, ...], now: int) -> int:
    return limits.max_messages - len(recent(limits, sent, now))


def recent(limits: Limits, sent: tuple[int, ...], now: int) -> tuple[int, ...]:
    """The sendings that still count against the rate."""
    return tuple(at for at in sent if now - at < limits.per_seconds * SECOND)


def _forbidden(limits: Limits, exposure: Exposure, state: RiskState, now: int) -> str | None:
    if state is RiskState.HALTED:
        return "halted: nothing but cancels"
    if messages_left(limits, exposure.sent, now) <= 0:
        return f"{limits.max_messages} orders were sent within {limits.per_seconds} s, the limit"
    basis = abs(exposure.mark / exposure.spot - 1)
    return f"mark is {basis:.2%} from the index, collar {limits.collar:.2%}" if basis > limits.collar else None


def _bounds(limits: Limits, wanted: Decimal, exposure: Exposure, state: RiskState) -> list[tuple[Decimal, str]]:
    """Sizes that the order may not exceed, and why, in the worst case over orders in flight."""
    sign = Decimal(1).copy_sign(wanted)
    position = exposure.position + (exposure.buying if wanted > 0 else exposure.selling)
    bounds = [
        (limits.max_order, f"clipped to the largest order, {limits.max_order}"),
        (max(Decimal(0), limits.max_position - sign * position), f"position limit is {limits.max_position}"),
    ]
    if state >= RiskState.REDUCING:
        room = -sign * (exposure.book_delta + position)
        bounds.append(
            (max(Decimal(0), room), f"{state.name}: only orders that shrink |delta|, {max(room, 0):.6f} left")
        )
    return bounds


def _delta_after(limits: Limits, units: Decimal, exposure: Exposure, reason: str) -> Ruling:
    position = exposure.position + (exposure.buying if units > 0 else exposure.selling)
    before = abs(exposure.book_delta + position)
    after = abs(exposure.book_delta + position + units)
    if after > limits.max_delta and after >= before:
        return Ruling(Decimal(0), f"delta after the fill would be {after:.6f}, limit {limits.max_delta}")
    return Ruling(units, reason)


def _down(size: Decimal, lot: Decimal) -> Decimal:
    return (size / lot).to_integral_value(ROUND_DOWN) * lot
