"""JSON-RPC by one websocket: every question is answered in time, or the websocket ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from typing import Any

from aiohttp import ClientError, ClientSession, ClientWebSocketResponse, ClientWSTimeout, WSMsgType

from serve.venues import wire

CLOSING = 1.0  # seconds that the other side has to say goodbye
Message = Mapping[str, Any]
Heard = Callable[[Message], Message | None]


class JsonRpc:
    """`seconds`: for an answer. `heard`: told of each message that answers nothing; what it returns is sent.

    What is asked raises wire.NetworkError, or RequestTimeout, which is one: then the websocket has ended.
    """

    def __init__(self, socket: ClientWebSocketResponse, seconds: float, heard: Heard) -> None:
        self._socket, self._seconds, self._heard = socket, seconds, heard
        self._numbers, self._awaited = count(1), dict[Any, asyncio.Future[Message]]()
        self._reading = asyncio.ensure_future(self._read())
        self._ending: asyncio.Future[None] | None = None
        self.over = False

    @classmethod
    async def to(cls, url: str, session: ClientSession, seconds: float, heard: Heard) -> JsonRpc:
        """Raises wire.NetworkError where nobody answers."""
        try:
            dialled = session.ws_connect(url, timeout=ClientWSTimeout(ws_close=CLOSING))
            return cls(await asyncio.wait_for(dialled, seconds), seconds, heard)
        except TimeoutError:
            raise wire.RequestTimeout(f"{url} is not answered") from None
        except (ClientError, OSError) as error:
            raise wire.NetworkError(f"{url}: {error}") from None

    async def asked(self, method: str, params: Message) -> Message:
        """The answer, which may be an error."""
        number, answer = next(self._numbers), asyncio.get_running_loop().create_future()
        self._awaited[number] = answer
        try:
            await self._say({"jsonrpc": "2.0", "id": number, "method": method, "params": dict(params)})
            found: Message = await asyncio.wait_for(answer, self._seconds)
        except TimeoutError:
            await self.end()
            raise wire.RequestTimeout(f"{method} is not answered") from None
        finally:
            del self._awaited[number]
        return found

    def ends(self, seconds: float) -> None:
        """So long from now, in place of when it was said to before."""
        if self._ending is not None:
            self._ending.cancel()
        self._ending = asyncio.ensure_future(self._late(seconds))

    async def end(self) -> None:
        """What is asked and not answered raises."""
        self.over = True
        for answer in self._awaited.values():
            if not answer.done():
                answer.set_exception(wire.NetworkError("the websocket has ended"))
        await self._socket.close()

    async def _late(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.end()

    async def _say(self, message: Message) -> None:
        try:
            if self.over:
                raise ConnectionError("the websocket has ended")
            await self._socket.send_str(json.dumps(message))
        except ConnectionError as error:
            raise wire.NetworkError(str(error)) from None

    async def _read(self) -> None:
        """Until it ends; it does where something else than JSON objects is said."""
        try:
            async for frame in self._socket:
                if frame.type is WSMsgType.TEXT:
                    await self._taken(json.loads(frame.data))
        except ValueError:
            pass
        finally:
            await self.end()

    async def _taken(self, message: Any) -> None:
        if not isinstance(message, dict):
            raise ValueError("no object")
        answer = self._awaited.get(message.get("id"))
        if answer is not None and not answer.done():
            answer.set_result(message)
        elif answer is None and (said := self._heard(message)) is not None:
            with suppress(wire.NetworkError):
                await self._say(said)
