"""News of children, told as their order's: what a message too many or too early must not do."""

from __future__ import annotations

from decimal import Decimal

from serve.events import Absent, Acknowledged, Cancelled, Event, Filled
from serve.orders import OrderEvent
from serve.router.family import Child, Family
from tests.serve.router.fakes import START, order

D = Decimal
NAME, EXPIRED = "desk-000001", START + 9001


def sent() -> Family:
    return Family(order(), {"a": Child(D(5)), "b": Child(D(3))})


def remembered() -> Family:
    return Family.remembered(order(), ("a", "b"))


def told(family: Family, *news: tuple[str, OrderEvent]) -> list[Event]:
    """Of the order, the end included."""
    events: list[Event] = []
    for venue, event in news:
        family, heard = family.heard(venue, event)
        family, end = family.concluding(event.time)
        events += [*heard, *end]
    return events


def fill(units: int, trade: str = "t", time: int = START) -> Filled:
    return Filled(time, NAME, trade, D(units), D(100), D(0))


def test_a_fill_is_told_and_counted_once() -> None:
    once = [("a", fill(4)), ("a", fill(4))]
    assert [event.units for event in told(sent(), *once) if isinstance(event, Filled)] == [D(4)]
    assert told(sent(), *once, ("b", Cancelled(START, NAME)))[-1] != Cancelled(START, NAME)


def test_fills_of_two_venues_that_bear_one_id_are_two() -> None:
    fills = told(sent(), ("a", fill(4)), ("b", fill(3)))
    assert [event.trade for event in fills if isinstance(event, Filled)] == ["a/t", "b/t"]


def test_one_that_is_absent_may_still_arrive_until_it_expires() -> None:
    assert told(sent(), ("a", Cancelled(START, NAME)), ("b", Absent(START, NAME))) == []
    late = told(sent(), ("a", Cancelled(START, NAME)), ("b", Absent(START, NAME)), ("b", fill(3)))
    assert [type(event) for event in late] == [Filled, Cancelled]
    gone = told(sent(), ("a", fill(4)), ("a", Cancelled(START, NAME)), ("b", Absent(EXPIRED, NAME)))
    assert gone[-1] == Cancelled(EXPIRED, NAME)


def test_after_a_restart_a_child_that_is_there_may_work_until_it_expires() -> None:
    rest = ("b", Cancelled(START, NAME))
    assert Cancelled(START, NAME) not in told(remembered(), rest, ("a", Acknowledged(START, NAME)))
    assert told(remembered(), rest, ("a", Acknowledged(EXPIRED, NAME)))[-1] == Cancelled(EXPIRED, NAME)


def test_after_a_restart_a_fill_told_late_ends_nothing() -> None:
    """Others may not have been told: only the answer to a question says that these are all."""
    rest = ("b", Cancelled(START, NAME))
    assert [type(event) for event in told(remembered(), rest, ("a", fill(1, time=EXPIRED)))] == [Filled]


def test_after_a_restart_an_order_has_ended_once_its_fills_are_whole() -> None:
    family = remembered()
    for venue, units in (("a", 5), ("b", 3)):
        family, _ = family.heard(venue, fill(units))
    assert family.concluding(START)[0].concluded
    assert family.concluding(START)[1] == ()
