"""What a ccxt.pro Deribit does otherwise here: nonces are for one use, and what may rest dies with its websocket.

Source: the exchange's documentation of private/enable_cancel_on_disconnect and public/set_heartbeat.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Mapping
from typing import Any, ClassVar

from serve.venues import wire

HEARTBEAT = 10  # seconds of silence, the least there is: then the exchange asks for a sign of life, or hangs up
MATCHING = 4  # ccxt's cost of an order
SCOPE = {"scope": "connection"}
Terms = Mapping[str, Any]


class Deribit:
    """Post-only orders go by a websocket of their own, all others as ccxt sends them.

    It is theirs once the exchange has said that it cancels what was ordered by it when it ends. It ends with the hedger
    or the network, and where nobody has called `renewed` for long enough.
    """

    last: ClassVar[int] = 0

    def __init__(self, settings: Terms) -> None:
        super().__init__(settings)  # type: ignore[call-arg]
        self._line: Any = None  # ccxt's client of the websocket
        self._authorised = 0.0  # until when, with as much again to spare
        self._end: asyncio.Future[None] | None = None  # to come, unless it is put off
        self._sign: asyncio.Future[None] | None = None  # of life, on its way
        self._renewing = asyncio.Lock()

    def nonce(self) -> int:
        """To ccxt it is the time, which two requests of a millisecond share; to Deribit it is for one use."""
        x: Any = self
        Deribit.last = max(int(x.milliseconds()), Deribit.last + 1)
        return Deribit.last

    async def renewed(self, seconds: float) -> None:
        """The exchange says of that websocket, a new one if need be, what it is for, and it ends so long from now.

        Raises ccxt's errors, and then it has ended.
        """
        async with self._renewing:
            line = self._connected() if self._line is None or self._line.closed() else self._line
            try:
                await self._confirmed(line)
            except BaseException:
                await _ended(line)
                raise
            self._line = line
        if self._end is not None:
            self._end.cancel()
        self._end = asyncio.ensure_future(_ended(line, seconds))

    async def private_get_buy(self, params: Terms) -> Any:
        if params.get("post_only"):
            return await self._rests("private/buy", params)
        return await super().private_get_buy(params)  # type: ignore[misc]

    async def private_get_sell(self, params: Terms) -> Any:
        if params.get("post_only"):
            return await self._rests("private/sell", params)
        return await super().private_get_sell(params)  # type: ignore[misc]

    def handle_message(self, client: Any, message: Any) -> Any:
        """The answers to what was asked here, and signs of life that are asked for; the rest is ccxt's."""
        if message.get("id") in client.futures:
            client.resolve(message, message["id"])
        elif message.get("method") != "heartbeat":
            super().handle_message(client, message)  # type: ignore[misc]
        elif message["params"]["type"] == "test_request":
            self._sign = asyncio.ensure_future(_lives(client))

    async def _rests(self, method: str, params: Terms) -> Any:
        x: Any = self
        await x.throttle(MATCHING)
        if self._line is None or self._line.closed():
            raise wire.OperationRejected("the websocket whose end cancels what rests is closed, so nothing may rest")
        return await self._asked(self._line, method, params)

    def _connected(self) -> Any:
        """A new one, of which nothing is known."""
        x: Any = self
        x.clients.pop(x.urls["api"]["ws"], None)
        self._authorised = 0.0
        return x.client(x.urls["api"]["ws"])

    async def _confirmed(self, line: Any) -> None:
        x: Any = self
        if not line.connected.done():
            await self._within(line.connect(x.session), "the websocket")
        if _now() >= self._authorised:
            told = await self._asked(line, "public/auth", {"grant_type": "client_signature", **proof(x)})
            await self._asked(line, "private/enable_cancel_on_disconnect", SCOPE)
            await self._asked(line, "public/set_heartbeat", {"interval": HEARTBEAT})
            self._authorised = _now() + float(told["result"]["expires_in"]) / 2
        told = await self._asked(line, "private/get_cancel_on_disconnect", SCOPE)
        if told["result"]["enabled"] is not True:
            raise wire.OperationRejected(f"{x.id}: cancel-on-disconnect is not enabled")

    async def _asked(self, line: Any, method: str, params: Terms) -> Any:
        """The answer. Raises what ccxt makes of an error; where there is no answer, the websocket ends."""
        x: Any = self
        number = x.request_id()
        answer = line.future(number)
        await line.send({"jsonrpc": "2.0", "id": number, "method": method, "params": dict(params)})
        try:
            message = await self._within(answer, method)
        except wire.RequestTimeout:
            await _ended(line)
            raise
        x.handle_errors(200, "", line.url, method, {}, x.json(message), message, {}, None)
        return message

    async def _within(self, answer: Awaitable[Any], what: str) -> Any:
        x: Any = self
        try:
            return await asyncio.wait_for(answer, x.timeout / 1000)
        except TimeoutError:
            raise wire.RequestTimeout(f"{x.id}: {what} is not answered") from None


def _now() -> float:
    return asyncio.get_running_loop().time()


def proof(x: Any) -> dict[str, Any]:
    """Of who we are, for public/auth: a signature, which the secret never leaves us for."""
    time, nonce = str(x.milliseconds()), str(x.nonce())
    signature = x.hmac(x.encode(f"{time}\n{nonce}\n"), x.encode(x.secret), hashlib.sha256)
    return {"client_id": x.apiKey, "timestamp": int(time), "nonce": nonce, "data": "", "signature": signature}


async def _lives(line: Any) -> None:
    if not line.closed():
        await line.send({"jsonrpc": "2.0", "id": 0, "method": "public/test", "params": {}})


async def _ended(line: Any, seconds: float = 0.0) -> None:
    """So long from now; what then still awaits an answer hears that there is none."""
    await asyncio.sleep(seconds)
    line.reset(wire.NetworkError("the websocket was closed"))
    await line.close()
