"""Several venues as one, case by case."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from serve.clock import HOUR
from serve.commands import Ask, CancelOrder, LookUp
from serve.events import (
    Absent,
    Acknowledged,
    Cancelled,
    Deleveraged,
    Event,
    Filled,
    FundingPaid,
    Malformed,
    OutcomeUnknown,
    PositionsReport,
    Rejected,
    SurfaceQuote,
)
from serve.router.books import Nature
from serve.state import VenueSide
from tests.serve.router.fakes import LEG, START, Fake, later, order, routed, two

D = Decimal


def units(fake: Fake) -> Decimal:
    return fake.orders["desk-000001"].order.units


def test_an_order_takes_the_cheapest_levels_of_all_books() -> None:
    a, b, venue = two()
    a.fate = b.fate = "fills"
    told = venue.submit(order(units="8"))
    assert (units(a), units(b)) == (D(5), D(3))
    assert [type(event) for event in told] == [Acknowledged, Filled, Acknowledged, Filled]
    assert [(each.trade, each.units) for each in told if isinstance(each, Filled)] == [("a/t1", D(5)), ("b/t1", D(3))]


def test_a_sale_takes_the_highest_bids() -> None:
    a, b, venue = two()
    venue.submit(order(units="-6"))
    assert (units(a), units(b)) == (D(-5), D(-1))


def test_what_the_books_do_not_show_within_the_limit_is_not_sent_and_ends_with_the_rest() -> None:
    a, b, venue = two()
    a.fate = b.fate = "fills"
    told = venue.submit(order(units="8", limit=D("101.5")))
    assert (units(a), units(b)) == (D(5), D(2))
    assert isinstance(told[-1], Cancelled)
    assert venue.submit(order(2, limit=D(99))) == (Cancelled(START, "desk-000002"),)


def test_the_order_ends_when_its_last_child_does() -> None:
    a, b, venue = two()
    venue.submit(order())
    a.mail = [Cancelled(0, "desk-000001")]
    assert venue.passed(START + 1) == []
    b.mail = [Cancelled(0, "desk-000001"), Cancelled(0, "desk-000001")]
    assert venue.passed(START + 2) == [Cancelled(START + 2, "desk-000001")]


def test_it_is_rejected_only_where_every_child_is() -> None:
    a, b, venue = two()
    a.fate = b.fate = "refuses"
    assert venue.submit(order()) == (Rejected(START, "desk-000001", "a: not enough margin; b: not enough margin"),)
    a.fate, b.fate = "refuses", "fills"
    assert isinstance(venue.submit(order(2))[-1], Cancelled)


def test_it_is_unknown_while_a_child_is_and_what_raises_is_unknown() -> None:
    _, b, venue = two()
    b.fate = "breaks"
    told = venue.submit(order())
    assert told[-1] == OutcomeUnknown(START, "desk-000001", "b: ConnectionError: reset")
    assert [type(event) for event in venue.look_up(LookUp(START, "desk-000001"))] == [Acknowledged]


def test_it_is_absent_only_where_every_child_is() -> None:
    a, b, venue = two()
    a.fate = b.fate = "vanishes"
    venue.submit(order())
    assert venue.look_up(LookUp(START, "desk-000001")) == (Absent(START, "desk-000001"),)
    later([a, b], 10)
    assert venue.look_up(LookUp(a.now, "desk-000001")) == (Absent(a.now, "desk-000001"),)
    assert venue.look_up(LookUp(a.now, "desk-000001")) == ()


def test_a_cancel_goes_to_the_children_that_have_not_ended() -> None:
    a, b, venue = two()
    a.fate = "fills"
    venue.submit(order())
    assert venue.cancel(CancelOrder(START, "desk-000001"))[-1] == Cancelled(START, "desk-000001")
    assert b.orders["desk-000001"].over
    assert not a.orders["desk-000001"].over


def test_what_rests_although_it_ended_is_cancelled_wherever_it_is() -> None:
    a, _, venue = two()
    venue.submit(order(units="5"))
    a.mail = [Cancelled(0, "desk-000001")]
    venue.passed(START)
    venue.cancel(CancelOrder(START, "desk-000001"))
    assert a.orders["desk-000001"].over


def test_an_order_that_was_seen_is_never_sent_again() -> None:
    a, b, venue = two()
    venue.submit(order())
    assert {type(event) for event in venue.submit(order())} == {Acknowledged}
    assert a.seen == b.seen == ["desk-000001"]


def test_after_a_restart_every_venue_is_asked_and_nothing_is_told_twice() -> None:
    a, b, venue = two()
    a.fate, b.fate = "fills", "works"
    past = venue.submit(order())
    venue = routed(a, b)
    venue.remember(
        past, {"desk-000001": order()}, cast(Any, SimpleNamespace(reserved=[SimpleNamespace(id="desk-000001")]))
    )
    assert {type(event) for event in venue.look_up(LookUp(START, "desk-000001"))} == {Acknowledged}
    b.fill("desk-000001", D(3))
    told = venue.look_up(LookUp(START, "desk-000001"))
    assert [event.trade for event in told if isinstance(event, Filled)] == ["b/t1"]
    assert venue.look_up(LookUp(later([a, b], 10), "desk-000001")) == ()


def test_a_resting_order_goes_whole_to_the_venue_where_it_costs_least() -> None:
    a, b, venue = two(routes={LEG: {"a": {"taker": 0.0, "maker": 1e-4}, "b": {"taker": 0.01, "maker": -1e-4}}})
    venue.submit(order(post_only=True))
    assert (a.seen, units(b)) == ([], D(8))


def test_an_order_for_a_venue_goes_there_alone() -> None:
    a, b, venue = two()
    venue.submit(order(venue="b"))
    assert (a.seen, units(b)) == ([], D(8))


def test_a_reduce_only_order_goes_where_there_is_something_to_reduce() -> None:
    a, b, venue = two()
    a.fate = b.fate = "fills"
    venue.submit(order(units="8"))
    a.fate = b.fate = "fills"
    venue.submit(order(2, units="-6", reduce_only=True))
    assert a.orders["desk-000002"].order.units == D(-5)
    assert b.orders["desk-000002"].order.units == D(-1)
    venue.submit(order(3, units="-6", reduce_only=True))
    assert a.orders.get("desk-000003") is None


def test_a_venue_whose_margin_is_in_use_is_given_nothing_that_grows() -> None:
    a, b, venue = two()
    a.fate, a.margin_use = "fills", 0.6
    venue.submit(order(units="3"))
    venue.report(Ask(START, "balance"))
    venue.submit(order(2, units="8"))
    assert (a.seen, b.orders["desk-000002"].order.units) == (["desk-000001"], D(8))
    venue.submit(order(3, units="-5"))
    assert (a.orders["desk-000003"].order.units, b.orders["desk-000003"].order.units) == (D(-3), D(-2))


def test_a_venue_that_fails_drops_out_and_comes_back_on_trial() -> None:
    a, b, venue = two()
    for number in (1, 2):
        a.fate = "vanishes"
        venue.submit(order(number))
    assert venue.passed(START) == [Malformed(START, "a", "router", "it drops out: TimeoutError: no answer")]
    venue.submit(order(3))
    assert "desk-000003" not in a.seen
    assert b.orders["desk-000003"].order.units == D(8)
    back = venue.passed(later([a, b], 61))
    assert back[-1] == Malformed(a.now, "a", "router", "it takes part again")
    a.fate = "vanishes"
    venue.submit(order(4, time=a.now))
    venue.submit(order(5, time=a.now))
    assert (a.seen[-1], b.seen[-1]) == ("desk-000004", "desk-000005")


def test_where_all_are_out_all_are_tried() -> None:
    a, b, venue = two()
    for number in (1, 2, 3):
        a.fate = b.fate = "vanishes"
        venue.submit(order(number))
    venue.submit(order(4))
    assert a.seen[-1] == b.seen[-1] == "desk-000004"


def test_silence_beyond_the_limit_is_a_failure_once_for_each_child() -> None:
    a, b, venue = two()
    a.fate = "is silent"
    venue.submit(order(1))
    for seconds in (6, 1, 1):
        assert venue.passed(later([a, b], seconds)) == []
    a.fate = "is silent"
    venue.submit(order(2, time=a.now))
    assert "silent" in venue.passed(later([a, b], 6))[-1].reason


def test_of_a_premium_that_its_expiry_takes_away_nothing_is_bought() -> None:
    """Both marks are 1 above the index; in the hour of the hedge the one loses all of it, the other an eleventh."""
    soon, late = Nature(START + HOUR), Nature(START + 11 * HOUR)
    for natures, named in (((soon, late), "b"), ((late, soon), "a")):
        a, b, venue = two()
        for fake, nature in zip((a, b), natures, strict=True):
            fake.asks, fake.mark, fake.kind = (("100", "9"),), 101.0, nature
        venue.submit(order(units="8"))
        assert [fake.name for fake in (a, b) if fake.seen] == [named]


def test_of_a_spot_no_more_is_sold_than_is_held() -> None:
    a, b, venue = two()
    a.kind, a.fate = Nature(spot=True), "fills"
    venue.submit(order(units="-3"))
    assert (a.seen, units(b)) == ([], D(-3)), "nothing of it is held"
    venue.submit(order(2, units="3", venue="a"))
    a.asks = b.asks = (("100", "9"),)
    venue.submit(order(3, units="-8"))
    assert (a.orders["desk-000003"].order.units, b.orders["desk-000003"].order.units) == (D(-3), D(-5))
    a.fate = "fills"
    venue.submit(order(4, units="-8", venue="a"))
    assert a.orders["desk-000004"].order.units == D(-3)
    (refused,) = venue.submit(order(5, units="-1", venue="a"))
    assert isinstance(refused, Rejected)
    assert "of it may be sold" in refused.reason
    a.fate = "fills"
    venue.submit(order(6, units="3", venue="a"))
    venue.submit(order(7, units="-5", post_only=True))
    assert ("desk-000007" in a.orders, b.orders["desk-000007"].order.units) == (False, D(-5)), "it rests whole"


def test_a_stale_book_is_not_traded_on() -> None:
    a, b, venue = two()
    a.booked_at = START - 6_000
    venue.submit(order())
    assert (a.seen, units(b)) == ([], D(8))
    b.booked_at = START - 6_000
    (told,) = venue.submit(order(2))
    assert told.reason == "no venue takes BTC-PERP: a: no fresh book; b: no fresh book"


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        (FundingPaid(START, LEG, D(1), "p1"), FundingPaid(START, LEG, D(1), "a/p1")),
        (Deleveraged(START, LEG, D(1), D(9), trade="d1"), Deleveraged(START, LEG, D(1), D(9), trade="a/d1")),
        (Filled(START, "x", "t1", D(1), D(9), D(0)), Filled(START, "x", "a/t1", D(1), D(9), D(0))),
        (Malformed(START, "a", "b", "c"), Malformed(START, "a", "b", "c")),
        (SurfaceQuote(START, "BTC", START, ()), SurfaceQuote(START, "BTC", START, ())),
    ],
)
def test_whatever_else_a_venue_tells_is_told(told: Event, heard: Event) -> None:
    a, _, venue = two()
    a.mail = [told]
    assert venue.passed(START) == [heard]


def test_listed_volatilities_are_one_venues() -> None:
    _, b, venue = two()
    b.mail = [SurfaceQuote(START, "BTC", START, ())]
    assert venue.passed(START) == []


def test_the_book_is_that_of_the_venues_which_are_in() -> None:
    a, _, venue = two()
    assert [str(level.price) for level in venue.book(LEG).asks] == ["100", "101", "102", "103"]
    for number in (1, 2):
        a.fate = "refuses"
        venue.submit(order(number))
    assert [str(level.price) for level in venue.book(LEG).asks] == ["101", "102"]


@dataclass(frozen=True)
class Kept:
    """As much of the core's state as is asked for."""

    venue: VenueSide = field(default_factory=VenueSide)


def test_a_position_that_a_venue_cannot_explain_is_named_with_the_venue() -> None:
    _, b, venue = two()
    assert venue.unexplained(cast(Any, Kept()), ()) is None
    b.mail = [PositionsReport(START, START, (("DOGE", D(3)),))]
    venue.passed(START)
    assert venue.unexplained(cast(Any, Kept()), ()).startswith("b: {'DOGE'")
