"""More fills and payments than an exchange puts in one answer, and those that it has put away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from serve.dialects import names
from serve.rehearsal.types import Fund, Place
from serve.venues import wire
from tests.serve.dialects.house import PERPETUAL, START, TRADED, House, house

PERP = "BTC/USDC:USDC"
HOUR = 3_600_000
Case = Callable[[House, Any], Awaitable[None]]
MOST = {  # fills, and payments, in one answer, as each exchange documents it
    "binance_usdm": (1000, 1000),
    "deribit": (1000, 250),
    "hyperliquid": (2000, 500),
    "okx": (100, 100),
}


def played(name: str, case: Case, tmp_path: Path) -> None:
    async def play() -> None:
        async with house(name, tmp_path) as own:
            x = own.client()
            await x.load_markets()
            await case(own, x)

    asyncio.run(asyncio.wait_for(play(), 30))


async def bought(own: House) -> None:
    await own.apply(Place(own.floor.now, TRADED, "", PERPETUAL.name, Decimal("0.1"), Decimal(86_000), "ioc"))


@pytest.mark.parametrize("name", names())
def test_pages_are_turned(name: str, tmp_path: Path) -> None:
    """Three fills share each time, so that a page ends among them."""

    async def case(own: House, x: Any) -> None:
        fills, payments = MOST[name]
        await bought(own)
        for _ in range(2):
            await own.move(84_000, 900, premium=0.002)
        await own.apply(Fund(own.floor.now))
        state = own.floor.exchange._state
        (fill,), (paid,) = state.fills[TRADED], state.payments[TRADED]
        state.fills[TRADED] = [replace(fill, fill_id=n, trade_id=n, time=START + n // 3) for n in range(1, fills + 4)]
        state.payments[TRADED] = [replace(paid, time=START + n) for n in range(payments + 3)]
        told = await own.dialect.trades(x, [PERP], START)
        assert [raw["timestamp"] for raw in told] == [each.time for each in state.fills[TRADED]]
        assert len({raw["id"] for raw in told}) == fills + 3
        due = await own.dialect.payments(x, [PERP], START)
        assert [each.time for each in due] == [each.time for each in state.payments[TRADED]]
        assert len({each.id for each in due}) == payments + 3
        assert {each.cash for each in due} == {-paid.paid}  # type: ignore[union-attr]

    played(name, case, tmp_path)


def test_fills_that_deribit_has_put_away_are_read_with_the_recent_ones(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        for _ in range(3):
            await bought(own)
            await own.move(84_000, 20 * 3_600)
        told = await own.dialect.trades(x, [PERP], START)
        assert [raw["timestamp"] - START for raw in told] == [0, 20 * HOUR, 40 * HOUR]
        for historical, kept in ((False, 1), (True, 2)):
            span = {"start_timestamp": START, "end_timestamp": own.floor.now, "historical": historical}
            asked = {"instrument_name": "BTC_USDC-PERPETUAL", **span}
            assert len((await x.privateGetGetUserTradesByInstrumentAndTime(asked))["result"]["trades"]) == kept
        own.overheard.requests.clear()
        assert len(await own.dialect.trades(x, [PERP], START + 38 * HOUR)) == 1
        assert not any("historical=true" in request.query for request in own.overheard.requests)

    played("deribit", case, tmp_path)


@pytest.mark.parametrize(
    ("call", "terms"),
    [
        ("privateGetGetUserTradesByInstrumentAndTime", {"instrument_name": "BTC_USDC-PERPETUAL", "count": 10}),
        ("privateGetGetTransactionLog", {"currency": "USDC", "end_timestamp": START, "count": 251}),
    ],
)
def test_deribit_wants_a_span_and_no_more_than_a_page(call: str, terms: dict[str, Any], tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        with pytest.raises(wire.CcxtError, match="Invalid params"):
            await getattr(x, call)({"start_timestamp": START, **terms})

    played("deribit", case, tmp_path)
