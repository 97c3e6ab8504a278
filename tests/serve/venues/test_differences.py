"""What an account holds against the journalled book, as changes of the book."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.clock import HOUR
from serve.events import BookSettled, BookTraded, QuoteEvent
from serve.holding import Holding
from serve.holdings import Book
from serve.venues.differences import GRACE, Deal, Report, changes, explaining, holding
from tests.serve.support import START, quote

EXPIRY = START + HOUR
CALL = Holding("desk:C", "BTC", "option", Decimal(-2), EXPIRY, "call", 20_000.0)
QUOTES: dict[str, QuoteEvent] = {"BTC": quote(START, 21_000.0)}
UNITS = st.decimals(-9, 9, places=1).map(lambda units: units + 0).filter(lambda units: units != 0)


def held(**units: Decimal) -> dict[str, Holding]:
    """Options that expire, and what never does."""
    ends = {name: EXPIRY if name.startswith("C") else None for name in units}
    kinds: dict[str, Any] = {
        name: {"kind": "option", "right": "call", "strike": 20_000.0} for name in units if ends[name]
    }
    each = {name: {"kind": "perpetual", **kinds.get(name, {})} for name in units}
    return {f"desk:{n}": Holding(f"desk:{n}", "BTC", units=u, expiry=ends[n], **each[n]) for n, u in units.items()}


def applied(book: Book, events: Sequence[BookTraded | BookSettled]) -> Book:
    for event in events:
        book = book.traded(event.holding, event.trade) if isinstance(event, BookTraded) else book.settled(event.holding)
    return book


POSITIONS = st.dictionaries(st.sampled_from(["C1", "C2", "P", "Q"]), UNITS).map(lambda units: held(**units))


@given(POSITIONS, POSITIONS, st.booleans(), st.sets(st.sampled_from(["desk:C1", "desk:P"])), st.booleans())
def test_the_changes_make_the_book_the_account_and_then_there_are_none(
    before: dict[str, Holding], after: dict[str, Holding], late: bool, unread: set[str], explained: bool
) -> None:
    """What is held elsewhere stays, and what cannot be read stays as it was."""
    elsewhere = {"otc-1": Holding("otc-1", "BTC", "spot", Decimal(3))}
    after = {} if late else after  # after an expiry nothing that has expired is held
    time = EXPIRY + GRACE if late else START
    report = Report(time, before, after, dict.fromkeys(unread, "why"))
    deals = {name: [Deal("7", each.units, Decimal(5))] for name, each in report.differences.items()}
    marks = dict.fromkeys(report.differences, Decimal(6))
    report = replace(report, **{"deals": deals} if explained else {"marks": marks})
    events = changes(report, {} if explained else report.differences, QUOTES, START)
    book = applied(Book({**before, **elsewhere}), events)
    wanted = {name: each for name, each in after.items() if name not in unread}
    wanted |= {name: each for name, each in before.items() if name in unread}
    assert book.holdings == {**wanted, **elsewhere}
    own = {name: each for name, each in book.holdings.items() if name not in elsewhere}
    again = replace(report, book=own)
    assert changes(again, again.differences, QUOTES, START) == ()
    assert [event.more for event in events] == [True] * (len(events) - 1) + [False] * (len(events) > 0)


def test_trades_say_what_was_received_and_bear_the_last_one_s_id() -> None:
    deals = [Deal("1", Decimal(-3), Decimal(900)), Deal("2", Decimal(1), Decimal("950.5"))]
    report = Report(START, {}, {CALL.id: CALL}, deals={CALL.id: deals})
    assert changes(report, {}, QUOTES, START) == (BookTraded(START, CALL, Decimal("1749.5"), trade="desk:C:2"),)


def test_what_no_trade_explains_counts_at_the_mark_when_two_reports_say_it() -> None:
    report = Report(START, {}, {CALL.id: CALL}, marks={CALL.id: Decimal(1_200)})
    assert changes(report, {}, QUOTES, START) == ()
    assert changes(report, {CALL.id: replace(CALL, units=Decimal(-1))}, QUOTES, START) == ()
    assert changes(report, report.differences, QUOTES, START) == (BookTraded(START, CALL, Decimal(2_400)),)


@given(st.lists(UNITS, max_size=8), st.integers(0, 8), st.integers(0, 8))
def test_trades_in_a_row_explain_what_they_come_to(units: list[Decimal], first: int, last: int) -> None:
    """As many as can; what no row comes to is not explained."""
    deals = [Deal(str(place), each, Decimal(1)) for place, each in enumerate(units)]
    row = deals[first:last]
    change = sum((each.units for each in row), Decimal(0))
    found = explaining(deals, change)
    assert sum((each.units for each in found), Decimal(0)) == change
    assert len(found) >= len(row)
    assert list(found) == [each for each in deals if each in found], "a row, and in turn"
    assert explaining(deals, Decimal("0.05")) == []


def test_all_gone_is_believed_where_each_has_a_reason() -> None:
    other = replace(CALL, id="desk:P", kind="perpetual", expiry=None, right=None, strike=None)
    both, deals = {CALL.id: CALL, other.id: other}, {other.id: [Deal("1", Decimal(2), Decimal(9))]}
    assert Report(START, both, {}).emptied
    assert Report(START, both, {}, deals=deals).emptied
    assert not Report(EXPIRY, both, {}, deals=deals).emptied
    assert not Report(START, both, {CALL.id: CALL}).emptied
    assert not Report(START, both, {}, unread=dict.fromkeys(both, "why")).emptied
    assert not Report(START, {}, {}).emptied


def test_an_empty_report_closes_nothing_at_once() -> None:
    report = Report(START, {CALL.id: CALL}, {}, marks={CALL.id: Decimal(1_200)})
    assert changes(report, {}, QUOTES, START) == ()


@pytest.mark.parametrize(
    ("settlement", "worth", "index"),
    [("cash", "1500", 21_500.0), ("cash", "0", 21_000.0), ("coin", "0.2", 25_000.0)],
)
def test_what_expired_is_settled_by_what_the_exchange_paid(settlement: Any, worth: str, index: float) -> None:
    """In the coin a call pays 1 - strike / index."""
    gone = replace(CALL, settlement=settlement)
    deals = {gone.id: [Deal("9", Decimal(2), Decimal(worth), settled=True)]}
    report = Report(EXPIRY, {gone.id: gone}, {}, deals=deals)
    (settled,) = changes(report, {}, QUOTES, EXPIRY)
    assert settled == BookSettled(EXPIRY, gone.id, pytest.approx(index), -2 * Decimal(worth))


@pytest.mark.parametrize(("settlement", "cash"), [("cash", "-2000"), ("coin", "-0.0952381")])
def test_a_settlement_that_is_not_told_is_reckoned_after_a_while(settlement: Any, cash: str) -> None:
    gone = replace(CALL, settlement=settlement)
    early, late = (Report(time, {gone.id: gone}, {}) for time in (EXPIRY + GRACE - 1, EXPIRY + GRACE))
    assert changes(early, early.differences, QUOTES, START) == ()
    assert changes(late, {}, {}, START) == (), "an asset without a quote waits for one"
    (settled,) = changes(late, {}, QUOTES, START)
    assert isinstance(settled, BookSettled)
    assert settled.price == 21_000.0
    assert settled.cash == pytest.approx(Decimal(cash))


def test_what_was_sold_before_it_expired_is_settled_for_what_it_was_sold_for() -> None:
    report = Report(EXPIRY, {CALL.id: CALL}, {}, deals={CALL.id: [Deal("3", Decimal(2), Decimal(40))]})
    assert changes(report, {}, QUOTES, EXPIRY) == (BookSettled(EXPIRY, CALL.id, 21_000.0, Decimal(-80)),)


MARKET: dict[str, Any] = {"symbol": "S", "base": "BTC", "quote": "USD", "type": "swap", "swap": True}


@pytest.mark.parametrize(
    ("terms", "found"),
    [
        ({}, Holding("desk:S", "BTC", "perpetual", Decimal(1))),
        (
            {"swap": False, "future": True, "expiry": EXPIRY},
            Holding("desk:S", "BTC", "future", Decimal(1), EXPIRY),
        ),
        (
            {"swap": False, "option": True, "expiry": EXPIRY, "optionType": "put", "strike": 9.0, "inverse": True},
            Holding("desk:S", "BTC", "option", Decimal(1), EXPIRY, "put", 9.0, settlement="coin"),
        ),
        ({"inverse": True}, "a perpetual that is settled in coin is counted in USD, which the book does not know"),
        ({"swap": False, "type": "spot"}, "a spot is no position that the book knows"),
    ],
)
def test_what_a_market_of_ccxt_s_is_in_the_book(terms: dict[str, Any], found: Holding | str) -> None:
    assert holding("desk", MARKET | terms, Decimal(1)) == found
