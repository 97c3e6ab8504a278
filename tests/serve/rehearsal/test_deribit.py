"""Real ccxt trades perpetuals and options on the rehearsal exchange by Deribit's protocol."""

from __future__ import annotations

import asyncio
from pathlib import Path

import ccxt
import pytest

from serve.rehearsal.protocols import READER, Key
from tests.serve.rehearsal.venue import HOUR, START, deribit, rehearsed

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
