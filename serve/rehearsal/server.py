"""The rehearsal exchange on the loopback: REST and websockets of every protocol, and an address that moves its time.

Below /control, for whoever rehearses: POST advance {"until": ms}, POST faults {"kind": name}, GET status, statement
and digest.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from aiohttp import WSMsgType, web

from envs.types import BadInput
from serve.clock import SECOND, RealClock
from serve.rehearsal.budget import Budget
from serve.rehearsal.faults import CANCEL, Fault, Faults
from serve.rehearsal.floor import Floor
from serve.rehearsal.mangling import FIRST, LATE, answered, cut, fated
from serve.rehearsal.protocols import TRADER, Request, Session, Spoken
from serve.rehearsal.statement import statement
from serve.rehearsal.types import Accepted, CancelAll, Gone, Happening

HOST = "127.0.0.1"
READ = 0.5  # seconds that a websocket has to say that it has read what was sent


class Line:
    """A websocket that is open, and its place in the exchange."""

    def __init__(self, socket: web.WebSocketResponse, session: Session, spoken: Spoken) -> None:
        self.socket, self.session, self.spoken = socket, session, spoken
        self.stalled = False
        self.read = asyncio.Event()

    async def send(self, messages: Sequence[str]) -> None:
        if self.stalled:
            return
        with contextlib.suppress(ConnectionError):
            for message in messages:
                await self.socket.send_str(message)

    async def caught_up(self) -> bool:
        """It has read all that was sent: what follows a ping is answered after what came before it."""
        if self.stalled or self.socket.closed:
            return True
        self.read.clear()
        with contextlib.suppress(ConnectionError, TimeoutError):
            await self.socket.ping()
            await asyncio.wait_for(self.read.wait(), READ)
            return True
        return False


class Server:
    def __init__(self, floor: Floor, faults: Faults, protocols: Sequence[Spoken], starts: int, ends: int) -> None:
        self.floor, self._faults, self._protocols = floor, faults, protocols
        self._span = (starts, ends)
        self._lines: list[Line] = []
        self._budget = Budget()
        self._sending = asyncio.Lock()
        self.requests = 0

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/control/advance", self._advance)
        app.router.add_post("/control/faults", self._fault)
        app.router.add_get("/control/status", self._status)
        app.router.add_get("/control/statement", self._statement)
        app.router.add_get("/control/digest", self._digest)
        app.router.add_route("*", "/{path:.*}", self._any)
        return app

    async def _any(self, request: web.Request) -> web.StreamResponse:
        for spoken in self._protocols:
            if request.path.startswith(spoken.sockets) and "upgrade" in request.headers:
                return await self._socket(request, spoken)
            if request.path.startswith(spoken.roots):
                return await self._rest(request, spoken)
        raise web.HTTPNotFound

    async def _rest(self, request: web.Request, spoken: Spoken) -> web.StreamResponse:
        """The reply goes first and the news after it, but for what a fault turns round or holds back."""
        now = self.floor.now
        self.requests += 1
        asked = await _asked(request)
        if self._faults.strikes("request_lost", now, asked.path):
            return cut(request)
        limited = self.requests % 2 == 0 and self._faults.lasting("rate_limited", now, asked.path) is not None
        if limited or not self._budget.spent(spoken.cost(asked), now):
            reply = spoken.busy(asked)
            return web.json_response(reply.body, status=reply.status, headers=reply.headers)
        reply = spoken.rest(asked, self.floor)
        news = self.floor.news()
        placed, ended = (any(isinstance(each, kind) for each in news) for kind in (Accepted, Gone))
        detail = asked.path if placed else CANCEL + asked.path
        fate = fated(self._faults, now, detail) if placed or ended else None
        if fate in FIRST:
            await self._send(news)
            news = []
        response = await answered(request, reply, fate)
        with contextlib.suppress(ConnectionError):
            await response.prepare(request)
            await response.write_eof()
        await self._send(news)
        return response

    async def _socket(self, request: web.Request, spoken: Spoken) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=False, max_msg_size=1 << 20)
        await socket.prepare(request)
        line = Line(socket, Session(request.path_qs), spoken)
        self._lines.append(line)
        try:
            async for message in socket:
                if message.type is WSMsgType.PONG:
                    line.read.set()
                elif message.type is WSMsgType.PING:
                    await socket.pong(message.data)
                elif message.type is WSMsgType.TEXT:
                    await self._told(line, message.data)
        finally:
            self._lines.remove(line)
            if line.session.connection:
                self.floor.apply(CancelAll(self.floor.now, line.session.account, None, line.session.connection))
                await self._send(self.floor.news())
        return socket

    async def _told(self, line: Line, text: str) -> None:
        """Of the faults of requests and replies, those that can befall a websocket's message may befall an order's."""
        line.session.heard = now = self.floor.now
        if line.session.connection and self._faults.strikes("request_lost", now, line.session.path):
            await line.socket.close()
            return
        answers, news = line.spoken.ws(line.session, text, self.floor), self.floor.news()
        placed = any(isinstance(each, Accepted) for each in news)
        fate = fated(self._faults, now, line.session.path, FIRST) if placed else None
        if fate is not None:
            await self._send(news)
            news = []
        if fate == "reply_delayed":
            await asyncio.sleep(LATE)
        if fate == "connection_dropped":
            await line.socket.close()
        elif fate != "reply_lost":
            await line.send(answers)
        await self._send(news)

    async def _send(self, news: Sequence[Happening]) -> None:
        """To every websocket, in order, one happening after the other."""
        async with self._sending:
            for line in list(self._lines):
                told = [text for each in news for text in line.spoken.push(line.session, each, self.floor)]
                await line.send(told)

    async def _advance(self, request: web.Request) -> web.Response:
        until = int((await request.json())["until"])
        if until > self.floor.now:
            for _ in self.floor.advance(until):
                await self._send(self.floor.news())
                await self._disturb()
        now, lines = self.floor.now, list(self._lines)
        silent = [line for line in lines if 0 < line.session.silence <= now - line.session.heard]
        for line in silent:
            await line.send([line.session.probe])
        read = await asyncio.gather(*(line.caught_up() for line in lines))
        for line, answers in zip(lines, read, strict=True):
            if line in silent and answers and line.session.heard < now:
                await line.socket.close()
        return web.json_response({"now": self.floor.now})

    async def _disturb(self) -> None:
        """The faults that befall websockets."""
        now, lines = self.floor.now, [line for line in self._lines if _used(line.session) and not line.stalled]
        if lines and self._faults.strikes("stalled", now, f"{len(lines)} websockets"):
            for line in lines:
                line.stalled = True
        if lines and self._faults.strikes("disconnected", now, f"{len(lines)} websockets"):
            for line in list(self._lines):
                await line.socket.close()

    async def _fault(self, request: web.Request) -> web.Response:
        asked, now = await request.json(), self.floor.now
        try:
            self._faults.add(Fault(str(asked["kind"]), now, now + round(float(asked.get("seconds", 0)) * SECOND)))
        except BadInput as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"now": now})

    async def _status(self, request: web.Request) -> web.Response:
        starts, ends = self._span
        told: dict[str, Any] = {"now": self.floor.now, "starts": starts, "ends": ends, "requests": self.requests}
        told |= {"websockets": len(self._lines), "faults": self._faults.counts, "cancels": self._faults.cancels}
        told["resting"] = len(self.floor.exchange.open_orders(TRADER.account))
        return web.json_response(told)

    async def _statement(self, request: web.Request) -> web.Response:
        return web.json_response(statement(self.floor.exchange, request.query.get("account", TRADER.account)))

    async def _digest(self, request: web.Request) -> web.Response:
        return web.json_response({"digest": self.floor.exchange.digest()})


def _used(session: Session) -> bool:
    return bool(session.channels or session.connection)


async def _asked(request: web.Request) -> Request:
    return Request(
        method=request.method,
        path=request.path,
        query=request.rel_url.raw_query_string,
        headers={name.lower(): value for name, value in request.headers.items()},
        body=await request.text(),
        params=dict(request.query),
        received=RealClock().now(),
    )


async def opened(server: Server, port: int) -> tuple[web.AppRunner, int]:
    """It answers on return, on this port or, where it is 0, on any that is free."""
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, port, reuse_address=True).start()
    return runner, int(runner.addresses[0][1])
