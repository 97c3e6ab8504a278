"""What befalls a reply on its way, after the exchange has done what was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from aiohttp import web

from serve.rehearsal.faults import CANCEL, Faults
from serve.rehearsal.protocols import Reply

LATE = 0.2  # seconds on the wall
PATIENCE = 30.0  # until a connection that waits for a lost reply is cut
PAGE = "<html><head><title>Please wait</title></head><body><h1>Checking your browser</h1></body></html>"
FIRST = ("reply_lost", "reply_delayed", "connection_dropped", "fill_early")  # what happened is told before the reply
FATES = (*FIRST, "reply_truncated", "reply_html", "reply_502")


def fated(faults: Faults, now: int, detail: str, fates: Sequence[str] = FATES) -> str | None:
    """The fault that is due on this reply, if any; there is one at most."""
    if detail.startswith(CANCEL) and faults.strikes("cancel_lost", now, detail):
        return "reply_lost"
    return next((kind for kind in fates if faults.strikes(kind, now, detail)), None)


async def answered(request: web.Request, reply: Reply, fate: str | None) -> web.StreamResponse:
    """The reply as it arrives."""
    whole = json.dumps(reply.body).encode()
    if fate == "reply_lost":
        await _silent(request)
        return cut(request)
    if fate == "connection_dropped":
        return cut(request)
    if fate == "reply_truncated":
        return await _broken_off(request, whole)
    if fate in ("reply_html", "reply_502"):
        return web.Response(text=PAGE, status=200 if fate == "reply_html" else 502, content_type="text/html")
    if fate == "reply_delayed":
        await asyncio.sleep(LATE)
    return web.Response(body=whole, status=reply.status, headers=reply.headers, content_type="application/json")


def cut(request: web.Request) -> web.Response:
    """No answer: the connection is gone."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _broken_off(request: web.Request, whole: bytes) -> web.StreamResponse:
    """Half of it, and then the connection is gone."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(whole))})
    await response.prepare(request)
    await response.write(whole[: len(whole) // 2])
    await asyncio.sleep(0.01)
    cut(request)
    return response


async def _silent(request: web.Request) -> None:
    """For as long as the other side waits."""
    for _ in range(round(PATIENCE / 0.05)):
        if request.transport is None or request.transport.is_closing():
            return
        await asyncio.sleep(0.05)
