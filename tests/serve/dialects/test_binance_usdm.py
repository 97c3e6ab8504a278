"""What ccxt and Binance's futures do between them that nobody expects (live-systems, 6.5, and what was found since)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from envs.types import BadInput
from serve.rehearsal.protocols._binance_calls import PRIVATE
from serve.rehearsal.types import Place
from serve.venues import wire
from tests.serve.dialects.house import PERPETUAL, START, TRADED, House, house

PERP = "BTC/USDC:USDC"
DAY = 86_400
Case = Callable[[House, Any], Awaitable[None]]


def played(case: Case, tmp_path: Path) -> None:
    async def play() -> None:
        async with house("binance_usdm", tmp_path) as own:
            x = own.client()
            await x.load_markets()
            await case(own, x)

    asyncio.run(asyncio.wait_for(play(), 30))


async def sent(x: Any, client_id: str, units: float, price: float, **terms: Any) -> dict[str, Any]:
    side = "buy" if units > 0 else "sell"
    return dict(await x.create_order(PERP, "limit", side, abs(units), price, {"clientOrderId": client_id, **terms}))


def placed(client_id: str, units: str, price: int, **terms: Any) -> Place:
    return Place(START, TRADED, client_id, PERPETUAL.name, Decimal(units), Decimal(price), **terms)


def test_nothing_is_asked_of_the_other_hosts(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        assert {request.path for request in own.overheard.requests} == {"/fapi/v1/exchangeInfo"}
        assert await own.dialect.resting(x, [PERP]) == []

    played(case, tmp_path)


def test_an_id_is_kept_unique_among_what_rests_alone(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        first = await sent(x, "desk-a1b2c-000001", 0.1, 83_000)
        with pytest.raises(wire.DuplicateOrderId) as raised:
            await sent(x, "desk-a1b2c-000001", 0.1, 83_000)
        assert not wire.rejected(raised.value)
        found = await own.dialect.found(x, PERP, "desk-a1b2c-000001", "")
        assert found is not None
        assert found["id"] == first["id"]
        await own.dialect.cancel(x, PERP, "desk-a1b2c-000001", "")
        assert (await sent(x, "desk-a1b2c-000001", 0.1, 83_000))["id"] != first["id"]  # so it is never sent again

    played(case, tmp_path)


@pytest.mark.parametrize(("units", "terms"), [(0.1, {"postOnly": True}), (0.1, {"reduceOnly": True}), (150, {})])
def test_the_errors_of_futures_are_known_at_any_address(units: float, terms: dict[str, Any], tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        with pytest.raises(wire.CcxtError) as raised:
            await sent(x, "desk-a1b2c-000001", units, 84_100, **terms)
        assert wire.rejected(raised.value), raised.value

    played(case, tmp_path)


def test_a_fill_that_is_fetched_bears_no_name(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        order = await sent(x, "desk-a1b2c-000001", 0.1, 85_000, timeInForce="IOC")
        (fill,) = await own.dialect.trades(x, [PERP], START)
        assert own.dialect.named(fill) == ""
        assert fill["order"] == order["id"]
        assert own.dialect.named(await x.fetch_order(fill["order"], PERP)) == "desk-a1b2c-000001"

    played(case, tmp_path)


def test_fees_in_another_asset_are_refused_at_the_start_and_never_booked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def case(own: House, x: Any) -> None:
        await sent(x, "desk-a1b2c-000001", 0.1, 85_000, timeInForce="IOC")
        (fill,) = await own.dialect.trades(x, [PERP], START)
        info = {name: text for name, text in fill["info"].items() if name != "commission"}
        heard = {**info, "n": "0.01", "N": "USDC"}
        told = [own.dialect.fee({**fill, "info": each}) for each in (fill["info"], info, heard)]
        assert told == [own.floor.exchange.fills(TRADED)[0].fee, Decimal(0), Decimal("0.01")]
        for burnt in ({**fill["info"], "commissionAsset": "BNB"}, {**info, "n": "0.01", "N": "BNB"}):
            with pytest.raises(BadInput, match="BNB was not charged in USDC"):
                own.dialect.fee({**fill, "info": burnt})
        monkeypatch.setitem(PRIVATE, ("GET", "v1/feeBurn"), lambda asked: {"feeBurn": True})  # type: ignore[misc]
        with pytest.raises(BadInput, match="pays fees in BNB"):
            await own.dialect.rights(x)

    played(case, tmp_path)


def test_fills_are_fetched_week_by_week_and_page_by_page(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        for week in range(3):
            await own.apply(*(placed(f"t{week}-{n}", "0.001", 85_000, tif="ioc") for n in range(2)))
            await own.move(84_000, 8 * DAY)
        assert len({raw["id"] for raw in await own.dialect.trades(x, [PERP], START)}) == 6
        assert len(await own.dialect.trades(x, [PERP], 0)) == 6

    played(case, tmp_path)


def test_the_exchange_s_own_orders_are_told_from_ours(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        for n in range(8):
            await own.apply(placed(f"b{n}", "7", 87_000, tif="ioc"))
        hearing = asyncio.ensure_future(x.watch_my_trades())
        while not any("listenKey" in line.session.path for line in own.server._lines):
            await asyncio.sleep(0.01)
        await own.move(80_500)
        fills, truth = await own.dialect.trades(x, [PERP], START), own.floor.exchange.fills(TRADED)
        forced = [own.dialect.taken_over(raw) == "liquidated" for raw in fills]
        assert forced == [fill.liquidation for fill in truth]
        assert {True, False} == set(forced)
        assert own.dialect.taken_over((await hearing)[-1]) == "liquidated"
        assert own.dialect.taken_over({"info": {"c": "adl_autoclose"}}) == "deleveraged"

    played(case, tmp_path)


def test_positions_have_no_sign_but_a_side_and_a_rank(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await sent(x, "desk-a1b2c-000001", -0.7, 83_000)
        (raw,) = await x.fetch_positions()
        assert (raw["contracts"], raw["side"]) == (0.7, "short")
        assert 1 <= int(raw["info"]["adl"]) <= 5
        assert await own.dialect.positions(x, [PERP]) == {PERP: Decimal("-0.7")}

    played(case, tmp_path)


def test_the_dead_man_switch_fires_unless_renewed(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await sent(x, "desk-a1b2c-000001", 0.1, 83_000)
        for _ in range(2):
            await own.dialect.renew(x, [PERP], 30)
            await own.move(84_000, 20)
        assert len(own.floor.exchange.open_orders(TRADED)) == 1
        await own.move(84_000, 11)
        assert own.floor.exchange.open_orders(TRADED) == ()

    played(case, tmp_path)


def test_a_gap_leaves_ccxt_without_a_book(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await x.watch_order_book(PERP)
        waiting = asyncio.ensure_future(x.watch_order_book(PERP))
        await own.move(84_010)
        await waiting
        waiting = asyncio.ensure_future(x.watch_order_book(PERP))
        own.floor.exchange.apply(placed("", "0.1", 82_000))  # never told
        await own.move(84_030)
        with pytest.raises(wire.CcxtError, match="checksum"):
            await waiting

    played(case, tmp_path)
