from __future__ import annotations

from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.errors import OrderError
from serve.events import Absent, Acknowledged, Cancelled, Filled, OutcomeUnknown, Rejected
from serve.orders import (
    IN_FLIGHT,
    RESERVED,
    TRANSITIONS,
    Order,
    OrderEvent,
    Status,
    Trigger,
    applied,
    order_id,
    unknown,
)

EXPIRES = 30


def fill(trade: str, units: str) -> Filled:
    return Filled(0, "o", trade, Decimal(units), Decimal(100), Decimal(0))


def order(status: Status = Status.SUBMITTED, units: str = "-3") -> Order:
    return Order("o", "BTC-PERP", Decimal(units), 0, EXPIRES, Decimal(100), status)


def test_life_of_a_filled_order() -> None:
    now = order()
    for event, status in [
        (Acknowledged(0, "o"), Status.ACCEPTED),
        (fill("a", "-1"), Status.PARTIAL),
        (fill("a", "-1"), Status.PARTIAL),
        (fill("b", "-2"), Status.FILLED),
        (Acknowledged(0, "o"), Status.FILLED),
    ]:
        now = applied(now, event)
        assert now.status is status
    assert now.filled == -3
    assert now.left == 0


def test_absent_may_still_arrive_until_it_expires_and_a_late_fill_still_counts() -> None:
    once = applied(unknown(order(), 5), Absent(6, "o"))
    assert (once.status, once.in_flight, once.reserved, once.left) == (Status.ABSENT, False, True, -3)
    assert applied(once, Absent(EXPIRES, "o")).status is Status.ABSENT
    assert applied(once, Acknowledged(7, "o")).in_flight
    lost = applied(once, Absent(EXPIRES + 1, "o"))
    assert (lost.status, lost.left) == (Status.LOST, 0)
    assert applied(lost, fill("late", "-3")).status is Status.FILLED


@pytest.mark.parametrize("units", ["-4", "1", "0"])
def test_a_fill_beyond_the_order_is_refused(units: str) -> None:
    with pytest.raises(OrderError, match="has -3 left"):
        applied(order(), fill("a", units))


@pytest.mark.parametrize(("status", "trigger"), sorted(set(product(Status, Trigger)) - set(TRANSITIONS)))
def test_what_the_table_lacks_is_refused(status: Status, trigger: Trigger) -> None:
    events: dict[Trigger, OrderEvent] = {
        Trigger.ACKNOWLEDGED: Acknowledged(0, "o"),
        Trigger.REJECTED: Rejected(0, "o", "no"),
        Trigger.PART: fill("a", "-1"),
        Trigger.WHOLE: fill("a", "-3"),
        Trigger.CANCELLED: Cancelled(0, "o"),
        Trigger.UNKNOWN: OutcomeUnknown(0, "o", "time-out"),
        Trigger.ABSENT: Absent(0, "o"),
        Trigger.EXPIRED: Absent(EXPIRES + 1, "o"),
    }
    with pytest.raises(OrderError):
        applied(order(status), events[trigger])


EVENTS = st.one_of(
    st.sampled_from(
        [
            Acknowledged(0, "o"),
            Rejected(0, "o", ""),
            Cancelled(0, "o"),
            OutcomeUnknown(0, "o", ""),
            Absent(0, "o"),
            Absent(99, "o"),
        ]
    ),
    st.builds(fill, st.sampled_from("abcdef"), st.sampled_from(["-1", "-2", "-0.5"])),
)


@given(st.lists(EVENTS, max_size=20))
def test_any_messages_in_any_order(events: list[OrderEvent]) -> None:
    """Never overfilled, each trade counted once, and what ended stays ended unless it was only lost."""
    now, counted = order(), dict[str, Decimal]()
    for event in events:
        before = now
        try:
            now = applied(now, event)
        except OrderError:
            continue
        if isinstance(event, Filled):
            counted.setdefault(event.trade, event.units)
        assert now.filled == sum(counted.values())
        assert abs(now.filled) <= abs(now.units)
        assert (now.filled == now.units) == (now.status is Status.FILLED)
        if before.status not in RESERVED and before.status is not Status.LOST:
            assert now.status not in IN_FLIGHT


def test_ids_are_ours_and_deterministic() -> None:
    assert order_id("paper", 7) == "paper-000007"
