"""The HTTP server beside a hedger: the API, the dashboard's files, and the task that follows the journal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.api import booking, reading, telling
from serve.api.guard import Denial, Guard
from serve.api.stream import Broadcast
from serve.clock import SECOND
from serve.errors import IdUsed, ServeError

DASHBOARD = Path(__file__).parents[1] / "dashboard"
PLOTLY = Path(str(files("plotly") / "package_data" / "plotly.min.js"))
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
LOCAL = ("localhost", "127.0.0.1", "[::1]")


def made(broadcast: Broadcast, guard: Guard, hosts: Sequence[str] = LOCAL) -> FastAPI:
    """`hosts`: the names it answers to, so that no other site can make its own name lead here and read along."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        following = asyncio.create_task(broadcast.follow())
        yield
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following

    app = FastAPI(
        title="Rehedge", version="1", summary="How a hedger stands, and what it is told.", lifespan=lifespan,
        docs_url=None, redoc_url=None,
    )  # fmt: skip
    app.include_router(reading.routes(broadcast, guard))
    app.include_router(telling.routes(broadcast.inbox, guard))
    app.include_router(booking.routes(broadcast.inbox, guard))
    app.add_exception_handler(Denial, _denied)
    app.add_exception_handler(IdUsed, _used)
    app.add_exception_handler(ServeError, _unavailable)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    app.add_middleware(Headed)
    app.mount("/static", StaticFiles(directory=DASHBOARD), name="static")
    app.add_api_route("/plotly.js", lambda: FileResponse(PLOTLY), include_in_schema=False)
    app.add_api_route("/", lambda: FileResponse(DASHBOARD / "index.html"), include_in_schema=False)
    return app


class Headed:
    """Adds the headers that keep a browser from running, framing or keeping what it should not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                if scope["path"].startswith("/v1"):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        await self._app(scope, receive, headed)


async def _denied(request: Request, error: Exception) -> Response:
    assert isinstance(error, Denial), "registered for it"
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
    if error.after is not None:
        headers["Retry-After"] = str(-(-error.after // SECOND))
    return JSONResponse({"detail": str(error)}, error.status, headers)


async def _used(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 409)


async def _unavailable(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 503)
