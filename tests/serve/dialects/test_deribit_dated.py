"""A dated future at Deribit, by real ccxt: as it is listed, as it is held, and how it ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from serve.dialects import Delivery
from tests.serve.dialects.house import HOUR, PERPETUAL, START, house

D = Decimal
DELIVERED = START + 8 * HOUR
FUTURE = replace(PERPETUAL, name="BTC-20250301", kind="future", expiry=DELIVERED)
DATED = "BTC/USDC:USDC-250301"
PREMIUM = 84_000 * 0.06 * 8 / 24 / 365  # eight hours before it expires


def test_it_is_bought_and_delivered_at_the_index(tmp_path: Path) -> None:
    async def run() -> None:
        async with house("deribit", tmp_path, FUTURE) as own:
            x = own.client()
            market = (await x.load_markets())[DATED]
            assert (market["id"], market["type"], market["expiry"]) == ("BTC_USDC-1MAR25", "future", DELIVERED)
            assert market["linear"]
            assert own.dialect.unit(market) == 1
            ticker = await x.fetch_ticker(DATED)
            assert "funding_8h" not in ticker["info"]
            assert ticker["info"]["mark_price"] == pytest.approx(84_000 + PREMIUM, abs=0.26)
            before = await own.dialect.money(x, [DATED])
            bought = await x.create_order(DATED, "limit", "buy", 0.5, 84_100, {"timeInForce": "IOC", "label": "desk.1"})
            assert await own.dialect.positions(x, [DATED]) == {DATED: D("0.5")}
            assert (await own.dialect.held(x)) == {DATED: D("0.5")}
            paid = D(str(bought["cost"])) + sum(own.dialect.fee(each) for each in bought["trades"])
            held = await own.dialect.money(x, [DATED])
            assert held.cash == before.cash - paid
            assert held.maintenance > 0
            for _ in range(33):
                await own.move(85_000, seconds=900)
            (row,) = await own.dialect.payments(x, [DATED], START)
            assert row == Delivery(row.id, DATED, D("-0.5"), D(85_000), row.time)
            assert await own.dialect.positions(x, [DATED]) == {DATED: D(0)}
            after = await own.dialect.money(x, [DATED])
            assert after.cash == after.equity == held.cash + D("0.5") * 85_000
            assert DATED not in await own.client().load_markets()

    asyncio.run(run())


def test_who_lists_none_says_nothing_of_it(tmp_path: Path) -> None:
    async def run(name: str) -> None:
        (tmp_path / name).mkdir()
        async with house(name, tmp_path / name, FUTURE) as own:
            x = own.client()
            (listed,) = [each for each in (await x.load_markets()).values() if each["base"] == "BTC"]
            assert listed["type"] == "swap"
            await x.watch_order_book(listed["symbol"])
            await own.move(84_100)
            assert (await x.watch_order_book(listed["symbol"]))["bids"]

    for name in ("okx", "binance_usdm", "hyperliquid"):
        asyncio.run(run(name))
