"""What happened to the account while nobody looked, and what its margin rests on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import pytest

from serve.clock import VirtualClock
from serve.commands import Ask
from serve.events import BalanceReport, Deleveraged, Event, Filled, Malformed, PositionsReport
from serve.rehearsal.types import Place, Transfer
from serve.venues.accounting import Accounting
from tests.serve.dialects.house import START, TRADED
from tests.serve.venues.desk import LEG, PERP, Desk, buys, opened

DAYS = 86_400
Case = Callable[[Desk], Awaitable[None]]


@pytest.fixture
def played(tmp_path: Path) -> Callable[[Case], None]:
    async def run(case: Case) -> None:
        async with opened(tmp_path) as desk:
            await case(desk)

    return lambda case: asyncio.run(asyncio.wait_for(run(case), 30))


def books(desk: Desk, *past: Event) -> Accounting:
    """Of a session that begins now, where the exchange's clock is."""
    now, symbols = desk.house.floor.now, {LEG: PERP}
    told = desk.told.append
    made = Accounting(desk.line, desk.ordering, desk.tracks, symbols, told, lambda _: 84_000.0, VirtualClock(now))
    made.remember(past, now)
    return made


def test_fills_and_payments_of_a_long_absence_are_told(played: Callable[[Case], None]) -> None:
    """A reply was lost, and the next look is three days later: by then the exchange has put the fill away, and has
    forgotten the order, and that of a person's fill, which bears no name.
    """

    async def case(desk: Desk) -> None:
        last = PositionsReport(START, START, ())
        desk.arm("reply_lost")
        desk.ordering.orders.timeout = 500
        await desk.ordering.submit(buys())
        await desk.house.apply(Place(START, TRADED, "", LEG, Decimal("0.3"), Decimal(86_000), "ioc"))
        await desk.house.move(84_000, 3 * DAYS)
        await books(desk, last).report(Ask(0, "positions"))
        assert not desk.of(Malformed)
        assert sum(fill.units for fill in desk.of(Filled)) == Decimal("0.1")
        assert dict(desk.of(PositionsReport)[0].positions)[LEG] == Decimal("0.4")

    played(case)


def test_a_look_that_fails_half_way_is_had_again_from_where_the_last_one_ended(
    played: Callable[[Case], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def case(desk: Desk) -> None:
        looked: list[int] = []
        trades = desk.line.dialect.trades

        async def seen(x: object, symbols: list[str], since: int) -> list[object]:
            looked.append(since)
            return await trades(x, symbols, since)  # type: ignore[return-value]

        async def lost(*terms: object) -> None:
            raise TimeoutError

        own = books(desk)
        monkeypatch.setattr(desk.line.dialect, "trades", seen)
        with monkeypatch.context() as broken:
            broken.setattr(desk.line.dialect, "payments", lost)
            own._clock.wait_until(START + 500_000)
            await own.poll()
        assert len(desk.of(Malformed)) == 1
        await own.poll()
        await own.poll()
        assert looked == [START - 60_000, START - 60_000, START + 440_000]

    played(case)


def test_a_payment_may_bear_the_number_of_a_liquidation(played: Callable[[Case], None]) -> None:
    async def case(desk: Desk) -> None:
        forced = Deleveraged(START, LEG, Decimal(-1), Decimal(84_000), "liquidated", "7")
        expired = Deleveraged(START, LEG, Decimal(-1), Decimal(84_000), "expired", "8")
        assert books(desk, forced, expired)._paid == {"8"}

    played(case)


def test_coin_that_is_collateral_moves_with_the_market(played: Callable[[Case], None]) -> None:
    """Twenty perpetuals sold against two coins: eighteen are open to the market."""

    async def case(desk: Desk) -> None:
        await desk.house.apply(Transfer(START, TRADED, "BTC", Decimal(2)))
        await desk.house.apply(Place(START, TRADED, "", LEG, Decimal(-20), Decimal(82_000), "ioc"))
        await books(desk).report(Ask(0, "balance"))
        (told,), state = desk.of(BalanceReport), desk.house.floor.exchange.account(TRADED)
        (account,) = told.accounts
        assert told.margin_use == pytest.approx(float(state.maintenance_margin / state.margin_balance), rel=1e-6)
        assert [(each.asset, each.delta) for each in account.holds] == [("BTC", Decimal(-18))]
        assert account.holds[0].requirement == pytest.approx(state.maintenance_margin, rel=Decimal("1e-6"))

    played(case)
