"""An exchange that quotes secrets in its errors, through real ccxt: nothing that we tell or log has one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from serve.clock import VirtualClock
from serve.errors import StartRefused
from serve.events import Event, Malformed
from serve.rehearsal.protocols import Key
from serve.rehearsal.protocols import load as protocol
from serve.venues.checking import checked
from serve.venues.connection import Connection
from serve.venues.lanes import Lanes
from serve.venues.ordering import Ordering
from serve.venues.secrets import Secrets
from serve.venues.settings import names
from serve.venues.streams import Streams
from serve.venues.tracks import Tracks
from tests.serve.dialects.house import START, House, house
from tests.serve.venues.desk import LEG, PERP, buys, settings
from tests.serve.venues.echo import Echo

PLANTED = Key("planted-key-4711", "planted-secret-0815", "trader", "planted-pass-2342")


@dataclass
class Wired:
    house: House
    echo: Echo
    line: Connection
    ordering: Ordering
    told: list[Event] = field(default_factory=list)

    async def heard(self) -> str:
        """Why a life of the market data ended."""
        while not (found := [event.reason for event in self.told if isinstance(event, Malformed)]):
            await asyncio.sleep(0.02)
        return found[0]


@asynccontextmanager
async def wired(name: str, tmp_path: Path) -> AsyncIterator[Wired]:
    """Planted keys, with which everything is signed."""
    async with house(name, tmp_path) as own:
        known = {"apiKey": PLANTED.key, "secret": PLANTED.secret, "password": PLANTED.passphrase}
        known |= {"walletAddress": PLANTED.wallet, "privateKey": PLANTED.private_key}
        held = {each: known[each] for each in own.dialect.credentials}
        own.overheard.spoken = echo = Echo(protocol(name, [PLANTED]), name, held.values())
        line = Connection(settings(own.address, name=name), own.dialect, Secrets(held))
        await checked(line)
        told: list[Event] = []
        clock = VirtualClock(START)
        ordering = Ordering(line, Tracks(line.dialect, "desk", "a1b2c"), {LEG: PERP}, told.append, clock)
        streams = Streams(line, {"BTC": PERP}, ordering, told.append, lambda *_: None, clock)
        running = asyncio.create_task(streams.run())
        await streams.born()
        try:
            yield Wired(own, echo, line, ordering, told)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await ordering.close()


Case = Callable[[Wired], Awaitable[None]]
Played = Callable[[str, Case], list[str]]


@pytest.fixture
def played(tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[Played]:
    """What was told, logged and printed."""
    caplog.set_level(logging.DEBUG)
    lanes = Lanes()

    async def run(name: str, case: Case) -> str:
        async with wired(name, tmp_path) as own:
            await case(own)
            return repr(own.told)

    def texts(name: str, case: Case) -> list[str]:
        told = lanes.ask(asyncio.wait_for(run(name, case), 30))
        return [told, caplog.text, *capfd.readouterr()]

    yield texts
    lanes.close()


def shown(texts: list[str]) -> list[str]:
    """Which parts of the keys stand there, however they are spelt."""
    whole = " ".join(texts).casefold()
    parts = (PLANTED.key, PLANTED.secret, PLANTED.passphrase, PLANTED.private_key, PLANTED.wallet)
    return [each for each in parts if each.removeprefix("0x") in whole]


@pytest.mark.parametrize("name", names())
def test_secrets_echoed_by_every_reply_and_on_a_websocket_are_in_nothing_told_or_logged(
    played: Played, name: str
) -> None:
    async def case(own: Wired) -> None:
        for line in own.house.server._lines:
            await line.send([own.echo.frame()])
        assert "***" in await own.heard()
        own.echo.requests = 1
        await own.ordering.submit(buys())
        with pytest.raises(StartRefused, match=r"\*\*\*") as refused:
            await checked(own.line)
        assert not shown([str(refused.value)])
        assert own.echo.told > 1

    texts = played(name, case)
    assert "***" in texts[0]
    assert not shown(texts)


def test_an_error_frame_is_logged_by_its_type_alone(played: Played) -> None:
    """ccxt raises it in a callback, and asyncio would print what it was called with."""

    async def case(own: Wired) -> None:
        for line in own.house.server._lines:
            await line.send([own.echo.frame()])
        await own.heard()

    texts = played("deribit", case)
    assert "an error that nobody awaits: ExchangeError, " in texts[1]
    assert "you sent" not in texts[1]
    assert not shown(texts)


def test_the_listen_key_of_a_refused_websocket_is_not_told(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    async def case(own: Wired) -> None:
        answered = own.house.server._socket

        async def refused(request: web.Request, spoken: Any) -> web.StreamResponse:
            if request.path.startswith("/private/"):
                raise web.HTTPServiceUnavailable
            return await answered(request, spoken)

        monkeypatch.setattr(own.house.server, "_socket", refused)
        for line in list(own.house.server._lines):
            await line.socket.close()
        while "503" not in repr(own.told):
            await asyncio.sleep(0.02)

    texts = played("binance_usdm", case)
    assert "/private/ws?***" in texts[0]
    assert "listen-" not in "".join(texts)
