"""The life of our orders: an explicit table of transitions, who is in flight, and who may still arrive."""

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
    ABSENT = "absent"  # the venue does not have it, and may still get it until it expires
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    LOST = "lost"  # absent after it expired; a late fill still counts


class Trigger(StrEnum):
    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    PART = "part fill"
    WHOLE = "last fill"
    CANCELLED = "cancelled"
    UNKNOWN = "outcome unknown"
    ABSENT = "absent"
    EXPIRED = "absent after it expired"


IN_FLIGHT = frozenset({Status.SUBMITTED, Status.ACCEPTED, Status.PARTIAL, Status.UNKNOWN})
RESERVED = IN_FLIGHT | {Status.ABSENT}  # may still fill
ENDED = (Status.FILLED, Status.CANCELLED, Status.REJECTED)
_UNSURE = (Status.SUBMITTED, Status.UNKNOWN, Status.ABSENT, Status.LOST)
_STALE = (Trigger.ACKNOWLEDGED, Trigger.UNKNOWN, Trigger.ABSENT, Trigger.EXPIRED)  # no news of an order that ended


def _heard(status: Status) -> dict[tuple[Status, Trigger], Status]:
    """What may be heard of an order that has not ended."""
    known = Status.PARTIAL if status is Status.PARTIAL else Status.ACCEPTED
    return {
        (status, Trigger.ACKNOWLEDGED): known,
        (status, Trigger.PART): Status.PARTIAL,
        (status, Trigger.WHOLE): Status.FILLED,
        (status, Trigger.CANCELLED): Status.CANCELLED,
        (status, Trigger.UNKNOWN): Status.UNKNOWN,
    }


TRANSITIONS: Mapping[tuple[Status, Trigger], Status] = {
    **{pair: after for status in (*IN_FLIGHT, Status.LOST) for pair, after in _heard(status).items()},
    **_heard(Status.ABSENT),
    **{(status, Trigger.REJECTED): Status.REJECTED for status in _UNSURE},
    **{(status, Trigger.ABSENT): Status.ABSENT for status in (Status.UNKNOWN, Status.ABSENT)},
    **{(status, Trigger.EXPIRED): Status.LOST for status in (Status.UNKNOWN, Status.ABSENT, Status.LOST)},
    (Status.ABSENT, Trigger.UNKNOWN): Status.ABSENT,
    (Status.LOST, Trigger.UNKNOWN): Status.LOST,
    # messages that overtake one another or come twice: what ended stays ended, and what works is looked up again
    **{(status, trigger): status for status in ENDED for trigger in _STALE},
    (Status.CANCELLED, Trigger.PART): Status.CANCELLED,
    (Status.CANCELLED, Trigger.WHOLE): Status.FILLED,
    (Status.CANCELLED, Trigger.CANCELLED): Status.CANCELLED,
    (Status.REJECTED, Trigger.REJECTED): Status.REJECTED,
    **{
        (status, trigger): Status.UNKNOWN
        for status in (Status.ACCEPTED, Status.PARTIAL)
        for trigger in (Trigger.ABSENT, Trigger.EXPIRED)
    },
}


@dataclass(frozen=True)
class Order:
    id: str
    symbol: str
    units: Decimal  # to buy; to sell is negative
    sent_at: int
    expires_at: int  # the venue takes it no later
    price: Decimal  # the mark that the decision saw
    status: Status = Status.SUBMITTED
    filled: Decimal = Decimal(0)
    trades: frozenset[str] = frozenset()  # the venue's ids of the fills counted
    asked_at: int | None = None  # last look-up
    late: int = 0  # look-ups without an answer since it expired
    rests: bool = False  # in the book, until it expires
    withdrawn: bool = False  # we asked the venue to cancel it

    @property
    def in_flight(self) -> bool:
        """Nothing else is sent for its exposure."""
        return self.status in IN_FLIGHT

    @property
    def reserved(self) -> bool:
        """It may still fill, and limits count with both outcomes."""
        return self.status in RESERVED

    @property
    def left(self) -> Decimal:
        """Units that may still fill."""
        return self.units - self.filled if self.reserved else Decimal(0)

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
    return moved


def unknown(order: Order, now: int) -> Order:
    """The order as one that is looked up at `now`; one that is absent stays so."""
    status = order.status if order.status is Status.ABSENT else Status.UNKNOWN
    return replace(order, status=status, asked_at=now)


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
        return Trigger.EXPIRED if event.time > order.expires_at else Trigger.ABSENT
    if not isinstance(event, Filled):
        return _TRIGGERS[type(event)]
    left = order.units - order.filled
    if event.units * order.units <= 0 or abs(event.units) > abs(left):
        raise OrderError(f"order {order.id} has {left} left, yet the venue filled {event.units}")
    return Trigger.WHOLE if event.units == left else Trigger.PART
