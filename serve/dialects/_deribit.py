"""What a ccxt.pro Deribit does otherwise here: nonces are for one use, and what may rest dies with its websocket.

Source: the exchange's documentation of private/enable_cancel_on_disconnect and public/set_heartbeat.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar

from serve.venues import wire
from serve.venues.jsonrpc import JsonRpc

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
        self._line: JsonRpc | None = None
        self._authorised = 0.0  # until when, with as much again to spare
        self._until = 0.0  # when it ends
        self._readying = asyncio.Lock()

    def nonce(self) -> int:
        """To ccxt it is the time, which two requests of a millisecond share; to Deribit it is for one use."""
        x: Any = self
        Deribit.last = max(int(x.milliseconds()), Deribit.last + 1)
        return Deribit.last

    async def renewed(self, seconds: float) -> None:
        """The exchange says of that websocket, a new one if need be, what it is for; it ends so long from now.

        Raises ccxt's errors, and then it has ended.
        """
        self._until = _now() + seconds
        async with self._readying:
            await self._ready()

    async def private_get_buy(self, params: Terms) -> Any:
        if params.get("post_only"):
            return await self._rests("private/buy", params)
        return await super().private_get_buy(params)  # type: ignore[misc]

    async def private_get_sell(self, params: Terms) -> Any:
        if params.get("post_only"):
            return await self._rests("private/sell", params)
        return await super().private_get_sell(params)  # type: ignore[misc]

    async def close(self) -> Any:
        self._until = 0.0
        if self._line is not None:
            await self._line.end()
        return await super().close()  # type: ignore[misc]

    async def _rests(self, method: str, params: Terms) -> Any:
        """Where the websocket was cut off and is not due to end yet, by another that ends then."""
        x: Any = self
        await x.throttle(MATCHING)
        if self._line is None or self._line.over:
            try:
                async with self._readying:
                    await self._ready()
            except Exception as error:  # nothing was sent
                raise wire.OperationRejected(f"nothing may rest: {error}") from None
        assert self._line is not None, "it is ready"
        return self._read(await self._line.asked(method, {**params, **_numbers(params)}))

    async def _ready(self) -> None:
        x: Any = self
        line = self._line
        if _now() >= self._until:
            raise wire.NetworkError(f"{x.id}: the websocket whose end cancels it is not renewed")
        if line is None or line.over:
            x.open()
            line = await JsonRpc.to(x.urls["api"]["ws"], x.session, x.timeout / 1000, _lives)
            self._authorised = 0.0
        try:
            await self._confirmed(line)
        except BaseException:
            await line.end()
            raise
        line.ends(self._until - _now())
        self._line = line

    async def _confirmed(self, line: JsonRpc) -> None:
        x: Any = self
        if _now() >= self._authorised:
            told = self._read(await line.asked("public/auth", {"grant_type": "client_signature", **proof(x)}))
            self._read(await line.asked("public/set_heartbeat", {"interval": HEARTBEAT}))
            self._authorised = _now() + float(told["result"]["expires_in"]) / 2
        self._read(await line.asked("private/enable_cancel_on_disconnect", SCOPE))
        told = self._read(await line.asked("private/get_cancel_on_disconnect", SCOPE))
        if told["result"]["enabled"] is not True:
            raise wire.OperationRejected(f"{x.id}: cancel-on-disconnect is not enabled")

    def _read(self, message: Terms) -> Terms:
        """Raises what ccxt makes of an error."""
        x: Any = self
        x.handle_errors(200, "", x.urls["api"]["ws"], "", {}, x.json(message), message, {}, None)
        return message


def proof(x: Any) -> dict[str, Any]:
    """Of who we are, for public/auth: a signature, which the secret never leaves us for."""
    time, nonce = str(x.milliseconds()), str(x.nonce())
    signature = x.hmac(x.encode(f"{time}\n{nonce}\n"), x.encode(x.secret), hashlib.sha256)
    return {"client_id": x.apiKey, "timestamp": int(time), "nonce": nonce, "data": "", "signature": signature}


def _numbers(params: Terms) -> dict[str, float]:
    """Which ccxt spells as text, as a query does."""
    return {name: float(params[name]) for name in ("amount", "price")}


def _lives(message: Terms) -> Terms | None:
    """The sign of life that is asked for."""
    if message.get("method") != "heartbeat" or message.get("params") != {"type": "test_request"}:
        return None
    return {"jsonrpc": "2.0", "id": 0, "method": "public/test", "params": {}}


def _now() -> float:
    return asyncio.get_running_loop().time()
