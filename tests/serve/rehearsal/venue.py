"""A rehearsal exchange for a test: a market that stands still but for what the test says, and real ccxt on it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt.pro
from aiohttp import ClientSession, ClientWebSocketResponse

from serve.rehearsal import protocols
from serve.rehearsal.exchange import Exchange
from serve.rehearsal.faults import Fault, Faults
from serve.rehearsal.floor import Floor
from serve.rehearsal.protocols import TRADER, Key
from serve.rehearsal.server import Server, opened
from serve.rehearsal.types import Command, Happening, Instrument, Move, Rules, Transfer
from serve.rehearsal.views import Candle

START = 1_767_225_600_000  # 2026-01-01
MINUTE = 60_000
HOUR = 60 * MINUTE
INDEX = Decimal(60_000)
TERMS: dict[str, Any] = {
    "base": "BTC",
    "quote": "USDC",
    "settle": "USDC",
    "lot": Decimal("0.001"),
    "contract_size": Decimal("0.001"),
    "maker_fee": Decimal(0),
    "taker_fee": Decimal("0.0005"),
    "position_cap": Decimal(1000),
}
PERPETUAL = Instrument("BTC-PERP", "perpetual", tick=Decimal("0.5"), **TERMS)
CALL = Instrument(
    "BTC-20260327-60000-C",
    "option",
    tick=Decimal(5),
    strike=Decimal(60_000),
    expiry=1_774_598_400_000,
    right="call",
    **TERMS,
)
RULES = Rules((PERPETUAL, CALL), seed=1)


class Still:
    """A move a minute, to the index that `index` holds, and 1,000,000 USDC for the trader first."""

    starts = START

    def __init__(self, resumed: int = 0) -> None:
        self.index, self.premium = INDEX, 0.0
        self._next = max(START, resumed)
        self._funded = resumed > 0

    def commands(self, until: int) -> Iterator[Command]:
        if not self._funded:
            self._funded = True
            yield Transfer(START, TRADER.account, "USDC", Decimal(1_000_000))
        while self._next <= until:
            self._next += MINUTE
            yield Move(self._next - MINUTE, "BTC", self.index, self.premium)

    def past(self, asset: str) -> Sequence[Candle]:
        price = INDEX
        return [Candle(START + n * HOUR, price, price, price, price, Decimal(0)) for n in range(-48, 0)]


@dataclass
class Unkept:
    """An exchange without a file."""

    exchange: Exchange

    def apply(self, command: Command) -> tuple[Happening, ...]:
        return self.exchange.apply(command)


@dataclass
class Venue:
    address: str
    floor: Floor
    faults: Faults
    market: Still
    server: Server

    def arm(self, kind: str, milliseconds: int = 0) -> None:
        self.faults.add(Fault(kind, self.floor.now, self.floor.now + milliseconds))


@asynccontextmanager
async def rehearsed(folder: Path, *names: str) -> AsyncIterator[Venue]:
    """An exchange that has begun and meets no fault but those that the test arms."""
    market, faults = Still(), Faults((), folder / "faults.jsonl")
    floor = Floor(Unkept(Exchange(RULES)), market, faults)
    server = Server(floor, faults, [protocols.load(name) for name in names], START, START + 24 * HOUR)
    runner, port = await opened(server, 0)
    for _ in floor.advance(START):
        floor.news()
    try:
        yield Venue(f"http://127.0.0.1:{port}", floor, faults, market, server)
    finally:
        await runner.cleanup()
        faults.close()


@asynccontextmanager
async def deribit(venue: Venue, key: Key = TRADER, **more: Any) -> AsyncIterator[Any]:
    """Real ccxt."""
    rest, ws = venue.address, venue.address.replace("http", "ws") + "/ws/api/v2"
    settings = {"apiKey": key.key, "secret": key.secret, "timeout": 1000, "rateLimit": 1}
    exchange = ccxt.pro.deribit(settings | {"urls": {"api": {"rest": rest, "ws": ws}}} | more)
    try:
        yield exchange
    finally:
        await exchange.close()
        await asyncio.sleep(0)  # a connection that was cut is closed a turn later


async def control(venue: Venue, until: int) -> int:
    """The exchange goes on; its time then."""
    async with (
        ClientSession() as client,
        client.post(f"{venue.address}/control/advance", json={"until": until}) as reply,
    ):
        return int((await reply.json())["now"])


async def called(socket: ClientWebSocketResponse, method: str, params: dict[str, Any]) -> Any:
    """The answer to a call by websocket."""
    await socket.send_str(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
    return json.loads(await socket.receive_str())
