"""What every answer after an order means, through real ccxt; what goes wrong with one is in test_replies.py."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import ccxt
import pytest

from serve.commands import Ask
from serve.events import Absent, Acknowledged, Cancelled, Filled, OrdersReport, OutcomeUnknown, Rejected
from serve.rehearsal.types import Place
from serve.venues import wire
from serve.venues.accounting import Accounting
from tests.serve.dialects.house import START, TRADED
from tests.serve.venues.desk import LEG, PERP, Desk, buys, opened

ORDER = "desk-000001"
Case = Callable[[Desk], Awaitable[None]]


@pytest.fixture
def played(tmp_path: Path) -> Callable[[Case], None]:
    async def run(case: Case) -> None:
        async with opened(tmp_path) as desk:
            await case(desk)

    return lambda case: asyncio.run(asyncio.wait_for(run(case), 30))


def test_an_order_fills_and_every_fill_is_told_once(played: Callable[[Case], None]) -> None:
    async def case(desk: Desk) -> None:
        await desk.ordering.submit(buys())
        for raw in await desk.line.dialect.trades(desk.ordering.questions, [PERP], START - 60_000):
            await desk.ordering.traded(raw)
        assert isinstance(desk.told[-1], Acknowledged)
        assert sum(fill.units for fill in desk.of(Filled)) == desk.position == Decimal("0.1")
        assert not desk.of(Cancelled)

    played(case)


def test_an_order_that_never_arrived_is_absent(played: Callable[[Case], None]) -> None:
    async def case(desk: Desk) -> None:
        desk.tracks.sent(buys(), PERP)
        await desk.ordering.look_up(ORDER)
        assert desk.told == [Absent(0, ORDER)]

    played(case)


def test_what_the_exchange_refuses_is_rejected(played: Callable[[Case], None]) -> None:
    async def case(desk: Desk) -> None:
        await desk.ordering.submit(buys("1000"))
        await desk.ordering.submit(buys(limit="1", number=2))
        assert [type(event) for event in desk.told] == [Rejected, Rejected]
        assert "InsufficientFunds" in desk.of(Rejected)[0].reason
        assert "outside the exchange's band" in desk.of(Rejected)[1].reason, "the band is read before it is sent"
        assert not [each for each in desk.placed() if each.filled]

    played(case)


def test_an_order_that_is_too_late_is_not_sent(played: Callable[[Case], None]) -> None:
    async def case(desk: Desk) -> None:
        desk.ordering._clock.wait_until(START + 31_000)
        await desk.ordering.submit(buys())
        assert [type(event) for event in desk.told] == [Rejected]
        assert not desk.placed()

    played(case)


def test_a_resting_order_is_cancelled_and_one_that_has_ended_told_again(played: Callable[[Case], None]) -> None:
    async def case(desk: Desk) -> None:
        await desk.ordering.renew(60)
        await desk.ordering.submit(buys(limit="83000", post_only=True))
        assert [type(event) for event in desk.told] == [Acknowledged]
        await desk.ordering.cancel(ORDER)
        assert desk.of(Cancelled) == [Cancelled(0, ORDER)]
        await desk.ordering.cancel(ORDER)
        assert not desk.of(OutcomeUnknown), "what ended cannot be cancelled, which is no doubt"
        assert not desk.house.floor.exchange.open_orders(TRADED)

    played(case)


def test_the_fill_of_another_database_of_ours_is_told_as_one_that_we_never_sent(played: Callable[[Case], None]) -> None:
    """The core halts on it: two hedgers trade one account."""

    async def case(desk: Desk) -> None:
        label = desk.line.dialect.spelled("desk", "fffff", "000009")
        desk.house.floor.apply(Place(START, TRADED, label, LEG, Decimal("0.2"), None, "ioc"))
        resting = desk.line.dialect.spelled("desk", "fffff", "000010")
        desk.house.floor.apply(Place(START, TRADED, resting, LEG, Decimal("0.2"), Decimal(80_000), "gtc"))
        for raw in await desk.line.dialect.trades(desk.ordering.questions, [PERP], START - 60_000):
            await desk.ordering.traded(raw)
        assert {fill.order for fill in desk.of(Filled)} == {"desk-fffff-000009"}
        clock = desk.ordering._clock
        books = Accounting(desk.line, desk.ordering, desk.tracks, {LEG: PERP}, desk.told.append, lambda _: 1.0, clock)
        await books.report(Ask(0, "orders"))
        assert desk.of(OrdersReport) == [OrdersReport(0, ("desk-fffff-000010",))]

    played(case)


def every(kind: type[Exception]) -> list[type[Exception]]:
    return [kind, *(each for child in kind.__subclasses__() for each in every(child))]


DEFINITIVE = {
    *("InsufficientFunds", "InvalidOrder", "BadRequest", "BadSymbol", "OperationRejected", "NoChange"),
    *("MarginModeAlreadySet", "MarketClosed", "ManualInteractionNeeded", "RestrictedLocation", "AuthenticationError"),
    *("PermissionDenied", "AccountNotEnabled", "AccountSuspended", "ArgumentsRequired", "NotSupported"),
    *("OrderNotCached", "OrderImmediatelyFillable", "OrderNotFillable", "ContractUnavailable"),
}


def test_only_a_definitive_refusal_is_a_rejection() -> None:
    """Of all that ccxt can raise, and whatever else."""
    rejected = {kind.__name__ for kind in every(ccxt.BaseError) if wire.rejected(kind("x"))}
    assert rejected == DEFINITIVE
    assert not any(wire.rejected(error) for error in (TypeError("x"), KeyError("x"), TimeoutError()))
