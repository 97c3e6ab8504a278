"""Traps of ccxt that one falls into by calling it as it is meant to be called (live-systems, 6.2 to 6.4)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt.pro
import pytest

from envs.types import BadInput
from serve.dialects import load, names
from tests.serve.dialects.house import START, TRADED, House, house

PERP = "BTC/USDC:USDC"
Case = Callable[[House, Any], Awaitable[None]]


def played(name: str, case: Case, tmp_path: Path) -> None:
    async def play() -> None:
        async with house(name, tmp_path) as own:
            x = own.client()
            await x.load_markets()
            await case(own, x)

    asyncio.run(asyncio.wait_for(play(), 30))


@pytest.mark.parametrize("name", names())
def test_the_test_hosts_are_never_switched_to(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """That would put the test hosts in the place of whatever address was given."""

    def switched(self: Any, enabled: bool) -> None:
        raise AssertionError("the address that was given is gone")

    dialect = load(name)
    for switch in ("set_sandbox_mode", "setSandboxMode", "enable_demo_trading", "enableDemoTrading"):
        monkeypatch.setattr(getattr(ccxt.pro, dialect.ccxt_name), switch, switched, raising=False)
    x = dialect.made({"urls": {"api": dialect.urls("http://127.0.0.1:1")}})
    assert "127.0.0.1:1" in json.dumps(x.urls["api"])


@pytest.mark.parametrize("name", names())
def test_a_contract_that_is_settled_in_its_coin_is_refused(name: str) -> None:
    """Its size is in dollars and its cost in coin, which ccxt takes of the amount ordered and not of what filled."""
    inverse = {"symbol": "BTC/USD:BTC", "inverse": True, "quote": "USD", "contractSize": 10, "info": {}}
    with pytest.raises(BadInput, match="is settled in coin"):
        load(name).unit(inverse)


def test_a_fee_is_read_from_the_fill_and_not_from_its_order(tmp_path: Path) -> None:
    """An order's is in the base currency to ccxt, whatever was charged."""

    async def case(own: House, x: Any) -> None:
        order = await x.create_order(PERP, "limit", "buy", 0.5, 85_000, {"label": "a", "timeInForce": "IOC"})
        (truth,), (heard,) = own.floor.exchange.fills(TRADED), order["trades"]
        (fetched,) = await own.dialect.trades(x, [PERP], START)
        assert [own.dialect.fee(raw) for raw in (heard, fetched)] == [truth.fee] * 2 > [Decimal(0)] * 2
        assert {raw["fee"]["currency"] for raw in (heard, fetched)} == {truth.fee_currency} == {"USDC"}

    played("deribit", case, tmp_path)


def test_the_heartbeat_of_deribit_is_left_alone(tmp_path: Path) -> None:
    """ccxt does not answer its `test_request`, and who is silent is cut off."""

    async def case(own: House, x: Any) -> None:
        watching = asyncio.ensure_future(x.watch_my_trades())
        await x.watch_ticker(PERP)
        await x.watch_order_book(PERP)
        while not any("user.trades" in message for message in own.overheard.messages):
            await asyncio.sleep(0.01)
        said = {json.loads(message)["method"] for message in own.overheard.messages}
        assert said == {"public/auth", "public/subscribe", "private/subscribe"}
        watching.cancel()

    played("deribit", case, tmp_path)


def test_no_two_requests_to_deribit_share_a_nonce(tmp_path: Path) -> None:
    """Not on two lanes in one millisecond either."""

    async def case(own: House, x: Any) -> None:
        own.overheard.requests.clear()
        for lane in (x, own.client()):
            lane.milliseconds = lambda: START
            for _ in range(2):
                await lane.privateGetGetPositions({})
        signed = [request.headers["authorization"] for request in own.overheard.requests]
        assert all(f"ts={START}" in each for each in signed)
        assert len({re.findall(r"nonce=(\d+)", each)[0] for each in signed}) == 4

    played("deribit", case, tmp_path)


@pytest.mark.parametrize("name", names())
def test_a_request_that_was_lost_is_not_sent_again(name: str, tmp_path: Path) -> None:
    """`maxRetriesOnFailure` would send orders again too."""

    async def case(own: House, x: Any) -> None:
        own.strike("request_lost")
        before = own.server.requests
        with suppress(ccxt.NetworkError):
            await own.dialect.time(x)
        assert own.server.requests == before + 1

    played(name, case, tmp_path)
