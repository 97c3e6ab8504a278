"""The life of our orders: an explicit table of transitions, and who is in flight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from serve.errors import OrderError
from serve.events import Absent, Acknowledged, Cancelled, Filled, OutcomeUnknown, Rejected

OrderEvent = Acknowledged | Rejected | Filled | Cancelled | OutcomeUnknown | Absent


class Status(StrEnum):
    SUBMITTED = "submitted"  # left us; nothing heard yet
    ACCEPTED = "accepted"
    PARTIAL = "partly filled"
    UNKNOWN = "unknown"  # may or may not be at the venue: looked up by id, never sent again
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    LOST = "lost"  # absent twice; a late fill still counts


class Trigger(StrEnum):
    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    PART = "part fill"
    WHOLE = "last fill"
    CANCELLED = "cancelled"
    UNKNOWN = "outcome unknown"
    ABSENT = "absent"
    ABSENT_AGAIN = "absent again"


IN_FLIGHT = frozenset({Status.SUBMITTED, Status.ACCEPTED, Status.PARTIAL, Status.UNKNOWN})

TRANSITIONS: Mapping[tuple[Status, Trigger], Status] = {
    (Status.SUBMITTED, Trigger.ACKNOWLEDGED): Status.ACCEPTED,
    (Status.SUBMITTED, Trigger.REJECTED): Status.REJECTED,
    (Status.SUBMITTED, Trigger.PART): Status.PARTIAL,
    (Status.SUBMITTED, Trigger.WHOLE): Status.FILLED,
    (Status.SUBMITTED, Trigger.CANCELLED): Status.CANCELLED,
    (Status.SUBMITTED, Trigger.UNKNOWN): Status.UNKNOWN,
    (Status.ACCEPTED, Trigger.ACKNOWLEDGED): Status.ACCEPTED,
    (Status.ACCEPTED, Trigger.PART): Status.PARTIAL,
    (Status.ACCEPTED, Trigger.WHOLE): Status.FILLED,
    (Status.ACCEPTED, Trigger.CANCELLED): Status.CANCELLED,
    (Status.ACCEPTED, Trigger.UNKNOWN): Status.UNKNOWN,
    (Status.PARTIAL, Trigger.ACKNOWLEDGED): Status.PARTIAL,
    (Status.PARTIAL, Trigger.PART): Status.PARTIAL,
    (Status.PARTIAL, Trigger.WHOLE): Status.FILLED,
    (Status.PARTIAL, Trigger.CANCELLED): Status.CANCELLED,
    (Status.PARTIAL, Trigger.UNKNOWN): Status.UNKNOWN,
    (Status.UNKNOWN, Trigger.ACKNOWLEDGED): Status.ACCEPTED,
    (Status.UNKNOWN, Trigger.REJECTED): Status.REJECTED,
    (Status.UNKNOWN, Trigger.PART): Status.PARTIAL,
    (Status.UNKNOWN, Trigger.WHOLE): Status.FILLED,
    (Status.UNKNOWN, Trigger.CANCELLED): Status.CANCELLED,
    (Status.UNKNOWN, Trigger.UNKNOWN): Status.UNKNOWN,
    (Status.UNKNOWN, Trigger.ABSENT): Status.UNKNOWN,
    (Status.UNKNOWN, Trigger.ABSENT_AGAIN): Status.LOST,
    # messages that overtake one another
    (Status.FILLED, Trigger.ACKNOWLEDGED): Status.FILLED,
    (Status.CANCELLED, Trigger.ACKNOWLEDGED): Status.CANCELLED,
    (Status.CANCELLED, Trigger.PART): Status.CANCELLED,
    (Status.CANCELLED, Trigger.WHOLE): Status.FILLED,
    (Status.CANCELLED, Trigger.CANCELLED): Status.CANCELLED,
    (Status.LOST, Trigger.ACKNOWLEDGED): Status.ACCEPTED,
    (Status.LOST, Trigger.PART): Status.PARTIAL,
    (Status.LOST, Trigger.WHOLE): Status.FILLED,
    (Status.LOST, Trigger.CANCELLED): Status.CANCELLED,
}


@dataclass(frozen=True)
class Order:
    id: str
    units: Decimal  # to buy; to sell is negative
    sent_at: int
    status: Status = Status.SUBMITTED
    filled: Decimal = Decimal(0)
    trades: frozenset[str] = frozenset()  # the venue's ids of the fills counted
    absences: int = 0
    asked_at: int | None = None  # last look-up

    @property
    def in_flight(self) -> bool:
        return self.status in IN_FLIGHT

    @property
    def left(self) -> Decimal:
        """Units that may still fill."""
        return self.units - self.filled if self.in_flight else Decimal(0)

    def repeats(self, event: OrderEvent) -> bool:
        """Whether `event` is a fill that was already counted."""
        return isinstance(event, Filled) and event.trade in self.trades


def applied(order: Order, event: OrderEvent) -> Order:
    """The order after `event`; a repeated fill changes nothing. Raises OrderError for what the table does not allow."""
    if order.repeats(event):
        return order
    trigger = _trigger(order, event)
    if (order.status, trigger) not in TRANSITIONS:
        raise OrderError(f"order {order.id} is {order.status}, yet the venue says: {trigger}")
    moved = replace(order, status=TRANSITIONS[order.status, trigger])
    if isinstance(event, Filled):
        return replace(moved, filled=order.filled + event.units, trades=order.trades | {event.trade})
    return replace(moved, absences=order.absences + 1) if isinstance(event, Absent) else moved


def unknown(order: Order, now: int) -> Order:
    """The order as one whose outcome is being looked up at `now`."""
    return replace(order, status=Status.UNKNOWN, asked_at=now)


def order_id(session: str, number: int) -> str:
    """Ours alone, and the same whenever the journal is replayed."""
    return f"{session}-{number:06d}"


_TRIGGERS: Mapping[type, Trigger] = {
    Acknowledged: Trigger.ACKNOWLEDGED,
    Rejected: Trigger.REJECTED,
    Cancelled: Trigger.CANCELLED,
    OutcomeUnknown: Trigger.UNKNOWN,
}


def _trigger(order: Order, event: OrderEvent) -> Trigger:
    if isinstance(event, Absent):
        return Trigger.ABSENT if order.absences == 0 else Trigger.ABSENT_AGAIN
    if not isinstance(event, Filled):
        return _TRIGGERS[type(event)]
    left = order.units - order.filled
    if event.units * order.units <= 0 or abs(event.units) > abs(left):
        raise OrderError(f"order {order.id} has {left} left, yet the venue filled {event.units}")
    return Trigger.WHOLE if event.units == left else Trigger.PART
