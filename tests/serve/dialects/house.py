"""The rehearsal exchange in the test's own event loop, for real ccxt to trade on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from serve.dialects import Dialect
from serve.dialects import load as dialect
from serve.rehearsal.exchange import Exchange
from serve.rehearsal.faults import Fault, Faults
from serve.rehearsal.floor import Floor
from serve.rehearsal.protocols import KEYS, TRADER, Key, Reply, Request, Session
from serve.rehearsal.protocols import load as protocol
from serve.rehearsal.server import Server, opened
from serve.rehearsal.types import Command, Happening, Instrument, Move, Rules, Transfer
from serve.rehearsal.views import Candle

START = 1_740_787_200_000  # 2025-03-01
EXPIRY = START + 27 * 86_400_000
HOUR = 3_600_000
TRADED = "trader"


def listed(name: str, kind: str, tick: str, **terms: Any) -> Instrument:
    fees = {"maker_fee": Decimal("0.0001"), "taker_fee": Decimal("0.0005"), "position_cap": Decimal(500)}
    sizes = {"lot": Decimal("0.001"), "contract_size": Decimal("0.01"), "tick": Decimal(tick)}
    return Instrument(name=name, kind=kind, base="BTC", quote="USDC", settle="USDC", **sizes, **fees, **terms)  # type: ignore[arg-type]


PERPETUAL = listed("BTC-PERP", "perpetual", "0.5")
CALL = listed("BTC-20250328-90000-C", "option", "5", strike=Decimal(90_000), expiry=EXPIRY, right="call")


@dataclass
class Kept:
    exchange: Exchange

    def apply(self, command: Command) -> tuple[Happening, ...]:
        return self.exchange.apply(command)


@dataclass
class Still:
    """A market that moves when the test says so."""

    starts: int = START
    coming: list[Command] = field(default_factory=list)

    def commands(self, until: int) -> Iterator[Command]:
        while self.coming:
            yield self.coming.pop(0)

    def past(self, asset: str) -> Sequence[Candle]:
        price = Decimal(84_000)
        return [Candle(START - hour * HOUR, price, price + 9, price - 9, price + 1, Decimal(2)) for hour in (3, 2, 1)]


@dataclass
class Overheard:
    """A protocol, and everything that it is asked."""

    spoken: Any
    requests: list[Request] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.spoken, name)

    def rest(self, request: Request, floor: Floor) -> Reply:
        self.requests.append(request)
        reply: Reply = self.spoken.rest(request, floor)
        return reply

    def ws(self, session: Session, message: str, floor: Floor) -> list[str]:
        self.messages.append(message)
        answers: list[str] = self.spoken.ws(session, message, floor)
        return answers


@dataclass
class House:
    address: str
    floor: Floor
    faults: Faults
    overheard: Overheard
    dialect: Dialect
    server: Server
    market: Still
    opened: list[Any] = field(default_factory=list)

    def client(self, key: Key = TRADER, heard: Any = None) -> Any:
        """Real ccxt, as the adapter makes it."""
        secrets = {"apiKey": key.key, "secret": key.secret, "password": key.passphrase}
        secrets |= {"walletAddress": key.wallet, "privateKey": key.private_key}
        keys = {name: secrets[name] for name in self.dialect.credentials}
        settings = {**keys, "urls": {"api": self.dialect.urls(self.address)}, "timeout": 5_000, "rateLimit": 1}
        self.opened.append(self.dialect.made(settings, heard))
        return self.opened[-1]

    def strike(self, kind: str) -> None:
        """This fault comes at the next occasion."""
        self.faults.add(Fault(kind, 0, 0))

    async def apply(self, *commands: Command) -> None:
        """And everybody hears of it."""
        for each in commands:
            self.floor.apply(each)
            await self.server._send(self.floor.news())

    async def move(self, price: int, seconds: int = 60, premium: float = 0.0) -> None:
        """So many seconds later the market is there."""
        at = self.floor.now + 1000 * seconds
        self.market.coming.append(Move(at, "BTC", Decimal(price), premium))
        for _ in self.floor.advance(at):
            await self.server._send(self.floor.news())


@asynccontextmanager
async def house(name: str, tmp_path: Path, *more: Instrument, **rules: Any) -> AsyncIterator[House]:
    """One exchange that speaks this venue's protocol, and this venue's dialect."""
    exchange = Exchange(Rules((PERPETUAL, *more), seed=3, **rules))
    faults, overheard = Faults((), tmp_path / "faults"), Overheard(protocol(name, KEYS))
    market = Still()
    floor = Floor(Kept(exchange), market, faults)
    for command in (Move(START, "BTC", Decimal(84_000)), Transfer(START, TRADED, "USDC", Decimal(200_000))):
        floor.apply(command)
    server = Server(floor, faults, [overheard], START, START + 86_400_000)
    runner, port = await opened(server, 0)
    own = House(f"http://127.0.0.1:{port}", floor, faults, overheard, dialect(name), server, market)
    try:
        yield own
    finally:
        for client in own.opened:
            await client.close()
        await runner.cleanup()
        faults.close()
