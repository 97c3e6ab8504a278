"""A websocket of our own to Deribit, on whose end it cancels every order of the account.

ccxt's own cannot be it: an order sent by REST is covered by scope "account" alone, and ccxt does not answer the
heartbeat by which the exchange finds out that a hedger with an open socket hangs.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import aiohttp

BEAT = 30  # seconds between the exchange's questions
PAUSE = 1.0  # seconds on the wall before it is held anew


class Unheld(Exception):
    """The exchange refused."""


async def held(url: str, proof: Callable[[], Mapping[str, Any]], alive: Callable[[], bool]) -> None:
    """For ever. `proof`: of who we are, made anew each time; while `alive` says no, questions stay unanswered."""
    while True:
        with suppress(aiohttp.ClientError, OSError, Unheld):
            async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
                await _called(socket, 1, "public/auth", {"grant_type": "client_signature", **proof()})
                await _called(socket, 2, "private/enable_cancel_on_disconnect", {"scope": "account"})
                await _called(socket, 3, "public/set_heartbeat", {"interval": BEAT})
                await _answering(socket, alive)
        await asyncio.sleep(PAUSE)


async def _answering(socket: aiohttp.ClientWebSocketResponse, alive: Callable[[], bool]) -> None:
    """Until the socket closes."""
    async for message in socket:
        told = _read(message)
        asks = told.get("method") == "heartbeat" and told.get("params", {}).get("type") == "test_request"
        if asks and alive():
            await _sent(socket, 4, "public/test", {})


async def _called(socket: aiohttp.ClientWebSocketResponse, number: int, method: str, params: Mapping[str, Any]) -> None:
    """Raises Unheld where it is refused or the socket closes."""
    await _sent(socket, number, method, params)
    async for message in socket:
        told = _read(message)
        if told.get("id") == number and "result" in told:
            return
        if "error" in told:
            break
    raise Unheld(method)


async def _sent(socket: aiohttp.ClientWebSocketResponse, number: int, method: str, params: Mapping[str, Any]) -> None:
    await socket.send_str(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": dict(params)}))


def _read(message: aiohttp.WSMessage) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(message.data) if message.type is aiohttp.WSMsgType.TEXT else {}
    return found
