"""What ccxt and Hyperliquid do between them that nobody expects (live-systems, 6.6, and what was found since)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from serve.dialects import Payment
from serve.rehearsal.protocols import TRADER, Key
from serve.rehearsal.types import Fund, Place
from serve.venues import wire
from tests.serve.dialects.house import PERPETUAL, START, TRADED, House, house

PERP = "BTC/USDC:USDC"
Case = Callable[[House, Any], Awaitable[None]]


def played(case: Case, tmp_path: Path) -> None:
    async def play() -> None:
        async with house("hyperliquid", tmp_path) as own:
            x = own.client()
            await x.load_markets()
            await case(own, x)

    asyncio.run(asyncio.wait_for(play(), 30))


async def sent(own: House, x: Any, number: str, units: float, price: float, **terms: Any) -> dict[str, Any]:
    side, name = "buy" if units > 0 else "sell", own.dialect.spelled("desk", "a1b2c", number)
    return dict(await x.create_order(PERP, "limit", side, abs(units), price, {"clientOrderId": name, **terms}))


def placed(client_id: str, units: str, price: int, **terms: Any) -> Place:
    return Place(START, TRADED, client_id, PERPETUAL.name, Decimal(units), Decimal(price), **terms)


def actions(own: House) -> Iterator[dict[str, Any]]:
    for request in own.overheard.requests:
        if request.path == "/exchange":
            yield json.loads(request.body)["action"]


def test_no_builder_and_no_referrer_on_the_wire(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await sent(own, x, "000001", 0.1, 85_000, timeInForce="IOC")
        await sent(own, x, "000002", 0.1, 83_000)
        await own.dialect.cancel(x, PERP, own.dialect.spelled("desk", "a1b2c", "000002"), "")
        await own.dialect.renew(x, [PERP], 30)
        assert [each["type"] for each in actions(own)] == ["order", "order", "cancelByCloid", "scheduleCancel"]
        for text in [request.body for request in own.overheard.requests] + own.overheard.messages:
            for word in ("builder", "approveBuilderFee", "setReferrer", "CCXT1"):
                assert word not in text

    played(case, tmp_path)


@pytest.mark.parametrize(
    "told",
    [
        pytest.param({}, marks=pytest.mark.slow),
        {"builderFee": False, "refSet": True},
        pytest.param({"approvedBuilderFee": True}, marks=pytest.mark.slow),
    ],
)
def test_by_ccxt_s_options_alone_a_builder_remains(told: dict[str, Any], tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        keys = {"walletAddress": TRADER.wallet, "privateKey": TRADER.private_key}
        options = {"options": {**own.dialect.options, **told}} if told else {}
        plain = wire.made("hyperliquid", {**keys, **options, "urls": {"api": own.dialect.urls(own.address)}})
        own.opened.append(plain)
        plain.options["fetchMarkets"] = {"types": ["swap"]}
        with suppress(wire.CcxtError):
            await sent(own, plain, "000001", 0.1, 83_000)
        assert any("builder" in request.body for request in own.overheard.requests)

    played(case, tmp_path)


def test_our_id_is_sixteen_bytes_and_comes_back(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        name = own.dialect.spelled("a-name-of-20-letters", "a1b2c", "000123")
        assert len(bytes.fromhex(name.removeprefix("0x"))) == 16
        raw = await sent(own, x, "000001", 0.1, 83_000)
        assert raw["status"] is None  # so it is looked up
        found = await own.dialect.found(x, PERP, own.dialect.spelled("desk", "a1b2c", "000001"), "")
        assert found is not None
        assert (found["status"], own.dialect.named(found)) == ("open", own.dialect.spelled("desk", "a1b2c", "000001"))

    played(case, tmp_path)


def test_what_could_not_trade_at_once_is_a_refusal(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        with pytest.raises(wire.CcxtError) as raised:
            await sent(own, x, "000001", 0.1, 83_000, timeInForce="IOC")
        assert wire.rejected(raised.value)
        found = await own.dialect.found(x, PERP, own.dialect.spelled("desk", "a1b2c", "000001"), "")
        assert found is not None
        assert found["status"] == "rejected"

    played(case, tmp_path)


def test_payments_of_funding_share_a_hash_and_are_told_apart(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await sent(own, x, "000001", 0.5, 85_000, timeInForce="IOC")
        for hour in (1, 2):
            for _ in range(2):
                await own.move(84_000, 1_500, premium=0.002)
            await own.apply(Fund(START + hour * 3_600_000))
        assert len({raw["id"] for raw in await x.fetch_funding_history(PERP)}) == 1
        told = await own.dialect.payments(x, [PERP], START)
        assert len({each.id for each in told}) == 2
        assert all(isinstance(each, Payment) and each.cash < 0 for each in told)

    played(case, tmp_path)


def test_numbers_of_actions_are_the_wallet_s(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        lanes = [x, own.client(), own.client()]
        numbers = [lane.incrementing_nonce() for _ in range(100) for lane in lanes]
        assert numbers == sorted(set(numbers))

    played(case, tmp_path)


def test_what_a_stranger_signed_is_not_done(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        stranger = own.client(Key("x", "a stranger's", "trader"))
        with pytest.raises(wire.CcxtError, match="Wallet"):
            await sent(own, stranger, "000001", 0.1, 85_000)
        assert own.floor.exchange.orders(TRADED) == ()

    played(case, tmp_path)


def test_the_dead_man_switch_fires_unless_renewed(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await sent(own, x, "000001", 0.1, 83_000)
        for _ in range(2):
            await own.dialect.renew(x, [PERP], 30)
            await own.move(84_000, 20)
        assert len(own.floor.exchange.open_orders(TRADED)) == 1
        await own.move(84_000, 11)
        assert own.floor.exchange.open_orders(TRADED) == ()
        with pytest.raises(wire.CcxtError, match="too early"):
            await own.dialect.renew(x, [PERP], 2)

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


def test_a_book_that_is_shown_crossed_is_crossed(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await x.watch_order_book(PERP)
        waiting = asyncio.ensure_future(x.watch_order_book(PERP))
        own.strike("crossed")
        own.floor.apply(placed("", "0.1", 82_000))
        await own.server._send(own.floor.news())
        book = await waiting
        assert book["bids"][0][0] > book["asks"][0][0]

    played(case, tmp_path)
