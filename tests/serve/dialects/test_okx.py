"""What ccxt and OKX do between them that nobody expects (live-systems, section 6.7, and what was found since)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from serve.dialects import Delivery
from serve.rehearsal.types import Place
from serve.venues import wire
from tests.serve.dialects.house import CALL, EXPIRY, PERPETUAL, START, TRADED, House, house

PERP, OPTION = "BTC/USDC:USDC", "BTC/USD:USDC-250328-90000-C"
Case = Callable[[House, Any], Awaitable[None]]


def played(case: Case, tmp_path: Path) -> None:
    async def play() -> None:
        async with house("okx", tmp_path, CALL) as own:
            x = own.client()
            await x.load_markets()
            await case(own, x)

    asyncio.run(asyncio.wait_for(play(), 30))


async def sent(x: Any, client_id: str, contracts: float, price: float, **terms: Any) -> dict[str, Any]:
    side = "buy" if contracts > 0 else "sell"
    return dict(await x.create_order(PERP, "limit", side, abs(contracts), price, {"clientOrderId": client_id, **terms}))


def placed(client_id: str, units: str, price: int, name: str = PERPETUAL.name, **terms: Any) -> Place:
    return Place(START, TRADED, client_id, name, Decimal(units), Decimal(price), **terms)


def test_an_id_used_twice_means_that_the_first_order_arrived(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        first = await sent(x, "deskZa1b2c000001", 10, 83_000)
        with pytest.raises(wire.DuplicateOrderId) as raised:
            await sent(x, "deskZa1b2c000001", 10, 83_000)
        assert not wire.rejected(raised.value)
        found = await own.dialect.found(x, PERP, "deskZa1b2c000001", "")
        assert found is not None
        assert found["id"] == first["id"]
        assert len(own.floor.exchange.orders(TRADED)) == 1

    played(case, tmp_path)


def test_an_id_with_a_hyphen_is_refused_and_ours_has_none(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        with pytest.raises(wire.CcxtError, match="clOrdId"):
            await sent(x, "desk-a1b2c-000001", 10, 83_000)
        longest = own.dialect.spelled("a-name-of-20-letters", "a1b2c", "000001")
        assert len(longest) <= 32
        assert (await sent(x, longest, 10, 83_000))["clientOrderId"] == longest

    played(case, tmp_path)


def test_a_refusal_that_ccxt_does_not_know_is_looked_up(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        with pytest.raises(wire.CcxtError, match="51169") as raised:
            await sent(x, "deskZa1b2c000001", 10, 84_100, reduceOnly=True)
        assert not wire.rejected(raised.value)
        assert await own.dialect.found(x, PERP, "deskZa1b2c000001", "") is None

    played(case, tmp_path)


def test_ccxt_tells_a_fee_with_one_sign_fetched_and_the_other_heard(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        hearing = asyncio.ensure_future(x.watch_my_trades())
        while not any('"orders"' in message for message in own.overheard.messages):
            await asyncio.sleep(0.01)
        await sent(x, "deskZa1b2c000001", 10, 85_000, timeInForce="IOC")
        (heard,), (fetched,) = await hearing, await own.dialect.trades(x, [PERP], START)
        assert heard["fee"]["cost"] == -fetched["fee"]["cost"] < 0
        assert own.dialect.fee(heard) == own.dialect.fee(fetched) > 0

    played(case, tmp_path)


def test_sizes_are_contracts_and_positions_have_no_sign(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await sent(x, "deskZa1b2c000001", -70, 83_000)
        (raw,) = await x.fetch_positions()
        assert (raw["contracts"], raw["contractSize"], raw["side"]) == (70.0, 0.01, "short")
        assert await own.dialect.positions(x, [PERP, OPTION]) == {PERP: Decimal("-0.7"), OPTION: Decimal(0)}

    played(case, tmp_path)


def test_an_option_s_contract_is_its_value_times_its_multiplier(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        market, swap = x.market(OPTION), x.market(PERP)
        assert (market["contractSize"], market["info"]["ctMult"]) == (1.0, "0.01")
        assert [own.dialect.unit(each) for each in (market, swap)] == [Decimal("0.01"), Decimal("0.01")]
        await x.create_order(OPTION, "limit", "buy", 50, 5_000, {"timeInForce": "IOC"})
        assert own.floor.exchange.account(TRADED).positions[0].units == Decimal("0.5")
        assert await own.dialect.positions(x, [OPTION]) == {OPTION: Decimal("0.5")}

    played(case, tmp_path)


def test_the_dead_man_switch_fires_unless_renewed(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await sent(x, "deskZa1b2c000001", 10, 83_000)
        await own.dialect.renew(x, [PERP], 30)
        await own.move(84_000, 20)
        await own.dialect.renew(x, [PERP], 30)
        await own.move(84_000, 20)
        assert len(own.floor.exchange.open_orders(TRADED)) == 1
        await own.move(84_000, 11)
        assert own.floor.exchange.open_orders(TRADED) == ()
        with pytest.raises(wire.CcxtError, match="timeOut"):
            await own.dialect.renew(x, [PERP], 5)

    played(case, tmp_path)


def test_pages_are_turned(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await own.apply(*(placed(f"r{n}", "0.001", 83_000) for n in range(203)))
        await own.apply(*(placed(f"t{n}", "0.001", 85_000, tif="ioc") for n in range(101)))
        assert len({raw["id"] for raw in await own.dialect.resting(x, [PERP])}) == 203
        assert len({raw["id"] for raw in await own.dialect.trades(x, [PERP], START)}) == 101

    played(case, tmp_path)


def test_liquidations_are_told_from_our_own_fills(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        for n in range(8):
            await own.apply(placed(f"b{n}", "7", 87_000, tif="ioc"))
        await own.move(80_500)
        fills, truth = await own.dialect.trades(x, [PERP], START), own.floor.exchange.fills(TRADED)
        forced = [own.dialect.taken_over(raw) == "liquidated" for raw in fills]
        assert forced == [fill.liquidation for fill in truth]
        assert {True, False} == set(forced)

    played(case, tmp_path)


def test_an_option_that_expires_is_delivered(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await own.apply(placed("c", "0.5", 5_000, CALL.name, tif="ioc"))
        for minute in range(31):
            await own.move(95_000, (EXPIRY - START) // 1000 - 1_800 if minute == 0 else 60)
        (told,) = await own.dialect.payments(x, [OPTION], START)
        assert isinstance(told, Delivery)
        assert (told.symbol, told.units) == (OPTION, Decimal("-0.5"))
        assert abs(told.price - 5_000) < 1

    played(case, tmp_path)


def test_listed_volatilities(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        ((expiry, strike, volatility),) = await own.dialect.surface(x, "BTC")
        assert (expiry, strike) == (EXPIRY, 90_000.0)
        assert volatility == pytest.approx(own.floor.exchange.ticker(CALL.name).volatility)
        assert (await x.fetch_greeks(OPTION))["delta"] == pytest.approx(0.37, abs=0.1)

    played(case, tmp_path)


def test_ping_and_pong_are_words_and_an_error_is_told_in_words(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        address = own.address.replace("http", "ws") + "/ws/v5/public"
        async with aiohttp.ClientSession() as session, session.ws_connect(address) as socket:
            await socket.send_str("ping")
            assert await socket.receive_str() == "pong"
            await socket.send_json({"op": "subscribe", "args": [{"channel": "tea", "instId": "BTC-USDC-SWAP"}]})
            assert "60018" in own.dialect.fault(await socket.receive_json())
            await socket.send_str("tea")
            assert "60012" in own.dialect.fault(await socket.receive_json())

    played(case, tmp_path)


def test_a_gap_leaves_ccxt_without_a_book(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await x.watch_order_book(PERP)
        waiting = asyncio.ensure_future(x.watch_order_book(PERP))
        own.floor.exchange.apply(placed("", "0.1", 82_000))  # never told
        await own.move(84_030)
        with pytest.raises(wire.CcxtError, match="nonce"):
            await waiting

    played(case, tmp_path)
