"""Real ccxt trades perpetuals and options on the rehearsal exchange by Deribit's protocol."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import ccxt
import pytest

from serve.rehearsal.protocols import READER, Key
from serve.rehearsal.types import Fund
from tests.serve.rehearsal.venue import HOUR, START, control, deribit, rehearsed

PERP, CALL = "BTC/USDC:USDC", "BTC/USDC:USDC-260327-60000-C"


def test_ccxt_reads_the_market(tmp_path: Path) -> None:
    async def read() -> None:
        async with rehearsed(tmp_path, "deribit") as venue, deribit(venue) as exchange:
            markets = await exchange.load_markets()
            assert set(markets) == {PERP, CALL}
            assert markets[PERP]["linear"]
            assert markets[CALL]["strike"] == 60_000
            ticker = await exchange.fetch_ticker(PERP)
            assert ticker["bid"] < ticker["indexPrice"] < ticker["ask"]
            assert float(ticker["info"]["min_price"]) < ticker["bid"] < float(ticker["info"]["max_price"])
            greeks = await exchange.fetch_greeks(CALL)
            assert 0.4 < greeks["delta"] < 0.7
            assert greeks["markImpliedVolatility"] == pytest.approx(60, abs=10)
            book = await exchange.fetch_order_book(PERP)
            assert book["bids"][0][0] < book["asks"][0][0]
            chain = await exchange.fetch_option_chain("USDC")
            assert set(chain) == {CALL}
            assert await exchange.fetch_time() == START
            candles = await exchange.fetch_ohlcv(PERP, "1h", since=START - 48 * HOUR, limit=48)
            assert [each[0] for each in candles] == [START + n * HOUR for n in range(-48, 0)]

    asyncio.run(read())


def test_an_order_is_known_by_its_label_alone(tmp_path: Path) -> None:
    """Trap: ccxt shows no client id, and the venue takes the same label twice."""

    async def trade() -> None:
        async with rehearsed(tmp_path, "deribit") as venue, deribit(venue) as exchange:
            far = {"symbol": PERP, "type": "limit", "side": "buy", "amount": 0.01, "price": 59_000}
            orders = [await exchange.create_order(**far, params={"label": "desk-000001"}) for _ in range(2)]
            assert orders[0]["id"] != orders[1]["id"]
            assert [each["clientOrderId"] for each in orders] == [None, None]
            assert [each["info"]["label"] for each in orders] == ["desk-000001"] * 2
            found = await exchange.privateGetGetOrderStateByLabel({"currency": "USDC", "label": "desk-000001"})
            assert [each["order_id"] for each in found["result"]] == [each["id"] for each in orders]
            assert len(await exchange.fetch_open_orders(PERP)) == 2
            assert await exchange.fetch_open_orders() == [], "ccxt asks for those settled in BTC"
            assert (await exchange.cancel_order(orders[0]["id"]))["status"] == "canceled"
            with pytest.raises(ccxt.InvalidOrder):
                await exchange.cancel_order(orders[0]["id"])
            await exchange.cancel_all_orders()
            assert await exchange.fetch_open_orders(PERP) == []

    asyncio.run(trade())


def test_fills_positions_and_worth(tmp_path: Path) -> None:
    """Trap: a short position has negative contracts. Orders bought by market; an option too."""

    async def trade() -> None:
        async with rehearsed(tmp_path, "deribit") as venue, deribit(venue) as exchange:
            sold = await exchange.create_order(PERP, "market", "sell", 0.25, params={"label": "a"})
            assert (sold["status"], sold["filled"]) == ("closed", 0.25)
            price = (await exchange.fetch_ticker(CALL))["ask"]
            await exchange.create_order(CALL, "limit", "buy", 0.1, price, params={"timeInForce": "IOC", "label": "b"})
            held = {each["symbol"]: each for each in await exchange.fetch_positions()}
            assert (held[PERP]["contracts"], held[PERP]["side"]) == (-0.25, "short")
            assert held[CALL]["contracts"] == 0.1
            trades = await exchange.fetch_my_trades(PERP, since=START, params={"end_timestamp": START + HOUR})
            assert sum(each["amount"] for each in trades) == pytest.approx(0.25)
            assert {each["info"]["label"] for each in trades} == {"a"}
            line = (await exchange.fetch_balance())["info"]["summaries"][0]
            worth = {name: float(line[name]) for name in ("balance", "equity", "futures_session_upl", "options_value")}
            whole = worth["balance"] + worth["futures_session_upl"] + worth["options_value"]
            assert worth["equity"] == pytest.approx(whole, abs=1e-6)
            assert worth["equity"] < 1_000_000, "fees and spread are paid"

    asyncio.run(trade())


def test_the_streams(tmp_path: Path) -> None:
    """Books with their numbers, tickers as the market moves, and one's own orders and trades."""

    async def watch() -> None:
        async with rehearsed(tmp_path, "deribit") as venue, deribit(venue) as exchange:
            await exchange.load_markets()
            book, orders = await exchange.watch_order_book(PERP), asyncio.create_task(exchange.watch_orders())
            trades, ticker = (
                asyncio.create_task(each) for each in (exchange.watch_my_trades(), exchange.watch_ticker(PERP))
            )
            assert book["bids"][0][0] < book["asks"][0][0]
            assert (await ticker)["indexPrice"] == 60_000
            await asyncio.sleep(0.05)
            await exchange.create_order(PERP, "market", "buy", 0.1, params={"label": "a"})
            assert (await asyncio.wait_for(trades, 1))[-1]["info"]["label"] == "a"
            assert (await asyncio.wait_for(orders, 1))[-1]["symbol"] == PERP
            again = asyncio.create_task(exchange.watch_ticker(PERP))
            venue.market.index *= 2
            await control(venue, START + 120_000)
            assert (await asyncio.wait_for(again, 1))["indexPrice"] == 120_000

    asyncio.run(watch())


@pytest.mark.parametrize(
    ("params", "price", "error"),
    [
        ({}, 10_000, ccxt.InvalidOrder),
        ({}, 60_000.3, ccxt.InvalidOrder),
        ({"postOnly": True}, 61_000, ccxt.InvalidOrder),
        ({"reduceOnly": True}, 61_000, ccxt.ExchangeError),
    ],
)
def test_what_the_exchange_refuses(tmp_path: Path, params: dict[str, Any], price: float, error: type) -> None:
    side = "sell" if price == 10_000 else "buy"

    async def trade() -> None:
        async with rehearsed(tmp_path, "deribit") as venue, deribit(venue) as exchange:
            await exchange.load_markets()
            exchange.markets[PERP]["precision"]["price"] = 0.1
            with pytest.raises(error):
                await exchange.create_order(PERP, "limit", side, 0.01, price, params=params)
            with pytest.raises(ccxt.InsufficientFunds):
                await exchange.create_order(PERP, "limit", "buy", 900, 59_000)
            assert venue.floor.exchange.open_orders("trader") == ()

    asyncio.run(trade())


def test_keys(tmp_path: Path) -> None:
    """A key that may not trade, and one that is not known or whose secret is another's."""

    async def trade() -> None:
        async with rehearsed(tmp_path, "deribit") as venue:
            async with deribit(venue, READER) as exchange:
                assert await exchange.fetch_open_orders(PERP) == []
                with pytest.raises(ccxt.PermissionDenied):
                    await exchange.create_order(PERP, "limit", "buy", 0.01, 59_000)
            async with deribit(venue, Key(READER.key, "wrong", "trader")) as exchange:
                with pytest.raises(ccxt.AuthenticationError):
                    await exchange.fetch_balance()

    asyncio.run(trade())


def test_an_error_by_websocket_is_silence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Trap: it is raised where nobody hears it, and nothing comes any more."""

    async def watch() -> None:
        wrong = Key(READER.key, "wrong", "trader")
        async with rehearsed(tmp_path, "deribit") as venue, deribit(venue, wrong) as exchange:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(exchange.watch_orders(), 0.3)

    asyncio.run(watch())
    assert "invalid_credentials" in caplog.text


def test_funding_and_its_history(tmp_path: Path) -> None:
    async def hold() -> None:
        async with rehearsed(tmp_path, "deribit") as venue, deribit(venue) as exchange:
            await exchange.create_order(PERP, "market", "buy", 1)
            venue.market.premium = 0.002
            await control(venue, START + HOUR)
            venue.floor.apply(Fund(venue.floor.now))
            rates = await exchange.fetch_funding_rate_history(PERP, since=START)
            assert len(rates) == 1
            assert rates[0]["fundingRate"] > 0
            rows = await exchange.privateGetGetTransactionLog(
                {"currency": "USDC", "start_timestamp": START, "end_timestamp": START + 99 * HOUR}
            )
            paid = [row for row in rows["result"]["logs"] if row["type"] == "settlement"]
            assert float(paid[0]["interest_pl"]) < 0, "the long pays"
            assert (await exchange.fetch_funding_rate(PERP))["fundingRate"] is not None

    asyncio.run(hold())
