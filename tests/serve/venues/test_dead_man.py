"""What rests dies with the session: a websocket that the exchange watches, and that a loop which hangs lets die."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from serve.dialects import _guard
from serve.rehearsal.types import Place
from tests.serve.dialects.house import CALL, START, TRADED, house
from tests.serve.venues.desk import LEG, buys


def test_what_rests_is_cancelled_when_the_connection_ends(tmp_path: Path) -> None:
    """Orders sent by REST too, which the scope `connection` would not cover."""

    async def case() -> None:
        async with house("deribit", tmp_path, CALL) as own:
            x, order = own.client(), buys()
            guard = asyncio.create_task(own.dialect.guarded(x, lambda: True))
            while not any(line.session.notes.get("cancel_on_disconnect") for line in own.server._lines):
                await asyncio.sleep(0.01)
            own.floor.apply(Place(START, TRADED, "desk.a1b2c-000001", LEG, order.units, order.limit - 5000, "gtc"))
            assert own.floor.exchange.open_orders(TRADED)
            guard.cancel()
            await asyncio.gather(guard, return_exceptions=True)
            while own.floor.exchange.open_orders(TRADED):
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(case(), 30))


@pytest.mark.parametrize(("turns", "answers"), [(True, ["public/test"]), (False, [])])
def test_the_exchange_is_answered_while_the_decision_loop_turns(turns: bool, answers: list[str]) -> None:
    heard: list[dict[str, Any]] = []

    async def venue(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for _ in range(3):
            heard.append(json.loads((await socket.receive()).data))
            await socket.send_json({"jsonrpc": "2.0", "id": heard[-1]["id"], "result": "ok"})
        await socket.send_json({"method": "heartbeat", "params": {"type": "heartbeat"}})
        await socket.send_json({"method": "heartbeat", "params": {"type": "test_request"}})
        with suppress(TimeoutError):
            heard.append(json.loads((await socket.receive(timeout=0.3)).data))
        done.set()
        return socket

    async def case() -> None:
        app = web.Application()
        app.router.add_get("/ws", venue)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"ws://127.0.0.1:{runner.addresses[0][1]}/ws"
        guard = asyncio.create_task(_guard.held(url, lambda: {"client_id": "us"}, lambda: turns))
        await done.wait()
        guard.cancel()
        await asyncio.gather(guard, return_exceptions=True)
        await runner.cleanup()

    done = asyncio.Event()
    asyncio.run(asyncio.wait_for(case(), 30))
    calls = [each["method"] for each in heard]
    assert calls == ["public/auth", "private/enable_cancel_on_disconnect", "public/set_heartbeat", *answers]
    assert heard[0]["params"] == {"grant_type": "client_signature", "client_id": "us"}
    assert heard[1]["params"] == {"scope": "account"}
