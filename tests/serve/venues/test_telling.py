"""What is told of fills and payments: nothing is lost by an unreadable message or by a restart, or told twice."""

from __future__ import annotations

import asyncio
from decimal import Decimal, InvalidOperation

import pytest

from serve.dialects import load
from serve.events import (
    Acknowledged,
    BalanceReport,
    Deleveraged,
    Event,
    Filled,
    Heartbeat,
    OutcomeUnknown,
    PositionsReport,
)
from serve.venues.accounting import Accounting
from serve.venues.ordering import OVERLAP
from tests.serve.dialects.house import START
from tests.serve.venues.counter import Counter, told, trade
from tests.serve.venues.desk import LEG, PERP, buys

ORDER, SPELLED = "desk-000001", "desk.a1b2c-000001"
BEGAN, POSITIONS = Heartbeat(START + 1), PositionsReport(START + 7, START + 6, ())
BALANCE, LATER = BalanceReport(START + 5, START + 3, Decimal(1), 0.0), Heartbeat(START + 9)


@pytest.mark.parametrize(
    ("past", "since"),
    [
        ((), START + 10),
        ((BEGAN, LATER), START + 1),
        ((BEGAN, BALANCE, LATER), START + 3),
        ((BEGAN, BALANCE, POSITIONS, LATER), START + 6),
    ],
)
def test_after_a_restart_the_account_is_looked_at_from_where_it_was_last_looked_at(
    past: tuple[Event, ...], since: int
) -> None:
    """What was paid between the last look and the kill is in no message."""
    own = Counter()
    books = Accounting(own.line, own.ordering, own.tracks, {LEG: PERP}, own.told.append, lambda _: 1.0, own.clock)
    books.remember(past, START + 10)
    asyncio.run(books.poll())
    assert not own.told
    assert own.venue.since == [since - OVERLAP]


@pytest.mark.parametrize("named", [SPELLED, "desk.fffff-000009"])
def test_a_fill_that_cannot_be_read_is_told_once_it_can(named: str) -> None:
    own = Counter()
    own.tracks.sent(buys(), PERP)
    with pytest.raises(InvalidOperation):
        asyncio.run(own.ordering.traded(trade("1", fee=None, clientOrderId=named)))
    for _ in range(2):
        asyncio.run(own.ordering.traded(trade("1", clientOrderId=named)))
    assert own.kinds == [Filled]


def test_a_fee_that_binance_leaves_out_is_none() -> None:
    fee = load("binance_usdm").fee
    told = [{"n": "0.5", "N": "USDC"}, {"commission": "-0.1", "commissionAsset": "USDC"}, {}]
    raws = [{"symbol": PERP, "fee": {"cost": None}, "info": info} for info in told]
    assert [fee(raw) for raw in raws] == [Decimal("0.5"), Decimal("-0.1"), 0]


def test_what_the_exchange_closed_before_a_restart_is_not_told_again_when_an_order_is_looked_up() -> None:
    own = Counter()
    own.tracks.sent(buys(), PERP)
    own.venue.orders[SPELLED] = told(SPELLED, "closed", "0.1")
    own.venue.trades = [trade("1"), *(trade(name, "3", order=name, forced=True) for name in ("8", "9"))]
    own.ordering.remember([Deleveraged(START, LEG, Decimal(3), Decimal(84_000), trade="8")])
    asyncio.run(own.ordering.look_up(ORDER))
    assert [event.trade for event in own.told if isinstance(event, Deleveraged)] == ["9"]


@pytest.mark.parametrize(("fills", "ends"), [(2, [Filled, Filled, Acknowledged]), (1, [Filled, OutcomeUnknown])])
def test_an_order_is_acknowledged_when_all_its_fills_are_told_and_not_before(
    fills: int, ends: list[type[Event]]
) -> None:
    """The router takes an expired order that is known, and whose size is not, to have ended."""
    own = Counter()
    own.tracks.sent(buys("0.2"), PERP)
    own.venue.trades = [trade(name) for name in ("1", "2")[:fills]]
    own.venue.orders[SPELLED] = told(SPELLED, "closed", "0.2")
    asyncio.run(own.ordering.look_up(ORDER))
    assert own.kinds == ends
