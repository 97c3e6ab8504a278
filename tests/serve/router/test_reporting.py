"""Reports of several venues, told as one."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from serve.commands import Ask
from serve.events import BalanceReport, Malformed, OrdersReport, PositionsReport, VenueTime
from tests.serve.router.fakes import LEG, START, later, order, two

D = Decimal


def test_reports_are_told_once_all_have_reported_and_as_old_as_the_oldest() -> None:
    a, b, venue = two()
    a.fate = b.fate = "fills"
    venue.submit(order())
    b.now += 7
    assert venue.report(Ask(START, "positions")) == (PositionsReport(START + 7, START, ((LEG, D(8)),)),)
    a.cash, b.cash, b.margin_use = D(5), D(-7), 0.3
    assert venue.report(Ask(START, "balance")) == (BalanceReport(START + 7, START, D(-2), 0.3),)
    assert venue.report(Ask(START, "time")) == (VenueTime(START + 7, 3, 40),)


def test_resting_children_are_their_order_and_foreign_orders_stay() -> None:
    _, b, venue = two()
    venue.submit(order())
    b.submit(replace(order(), order="somebody"))
    assert venue.report(Ask(START, "orders")) == (OrdersReport(START, ("desk-000001", "somebody")),)


def test_a_venue_that_is_out_stands_as_it_last_told_and_not_for_ever() -> None:
    a, b, venue = two()
    assert venue.report(Ask(START, "positions"))
    b.deaf = True
    assert {type(event) for event in venue.report(Ask(START, "positions"))} == {Malformed}
    venue.report(Ask(START, "positions"))
    assert PositionsReport(START, START, ((LEG, D(0)),)) in venue.report(Ask(START, "positions"))
    later([a, b], 601)
    assert {type(event) for event in venue.report(Ask(a.now, "positions"))} == {Malformed}
