"""Questions and answers by a websocket: in time, each its own, or the websocket ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from aiohttp import ClientSession, WSMsgType, web

from serve.venues import jsonrpc, wire
from serve.venues.jsonrpc import JsonRpc

Answering = Callable[[web.WebSocketResponse, dict[str, Any]], Awaitable[None]]
Case = Callable[[JsonRpc], Awaitable[None]]


async def echoed(socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
    await socket.send_json({"id": asked["id"], "result": asked["params"]})


def nothing(message: Mapping[str, Any]) -> None:
    """Of interest."""


def talked(case: Case, answering: Answering = echoed, seconds: float = 5.0, heard: Any = nothing) -> None:
    async def handled(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for frame in socket:
            assert frame.type is WSMsgType.TEXT
            await answering(socket, json.loads(frame.data))
        return socket

    async def talk() -> None:
        app = web.Application()
        app.router.add_get("/", handled)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with ClientSession() as session:
            line = await JsonRpc.to(f"http://127.0.0.1:{runner.addresses[0][1]}", session, seconds, heard)
            await case(line)
            await line.end()
        await runner.cleanup()

    asyncio.run(asyncio.wait_for(talk(), 30))


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.005)


def test_every_question_has_its_own_answer_in_whatever_order() -> None:
    waiting: list[dict[str, Any]] = []

    async def turned(socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        waiting.append(asked)
        if len(waiting) == 3:
            for each in reversed(waiting):
                await echoed(socket, each)

    async def case(line: JsonRpc) -> None:
        told = await asyncio.gather(*(line.asked("which", {"n": n}) for n in range(3)))
        assert [each["result"]["n"] for each in told] == [0, 1, 2]
        assert {(each["jsonrpc"], each["method"]) for each in waiting} == {("2.0", "which")}

    talked(case, turned)


def test_no_answer_ends_it_for_all_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonrpc, "CLOSING", 0.05)

    async def deaf(socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        await asyncio.Event().wait()

    async def case(line: JsonRpc) -> None:
        begun = asyncio.get_running_loop().time()
        first = asyncio.ensure_future(line.asked("first", {}))
        await asyncio.sleep(0.05)
        second = asyncio.ensure_future(line.asked("second", {}))
        with pytest.raises(wire.RequestTimeout, match="first is not answered"):
            await first
        with pytest.raises(wire.NetworkError, match="has ended"):
            await second
        assert asyncio.get_running_loop().time() - begun < 2.0, "the goodbye of the deaf is not waited for"
        assert line.over

    talked(case, deaf, seconds=0.3)


@pytest.mark.parametrize("said", ["<html>", "[1]", '"again"'])
def test_what_is_no_object_ends_it(said: str) -> None:
    async def garbled(socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        await socket.send_str(said)

    async def case(line: JsonRpc) -> None:
        with pytest.raises(wire.NetworkError, match="has ended"):
            await line.asked("which", {})
        assert line.over

    talked(case, garbled)


def test_a_websocket_that_is_closed_answers_nobody() -> None:
    async def closed(socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        await socket.close()

    async def case(line: JsonRpc) -> None:
        for _ in range(2):
            with pytest.raises(wire.NetworkError, match="has ended"):
                await line.asked("which", {})

    talked(case, closed)


def test_an_error_is_an_answer_and_what_answers_nothing_is_heard() -> None:
    answers: list[dict[str, Any]] = []

    async def noisy(socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        if asked["method"] == "news":
            answers.append(asked)
            await socket.send_json({"id": asked["id"], "error": {"code": 10028}})
            return
        await socket.send_json({"method": "heartbeat"})
        await until(lambda: bool(answers))
        await socket.send_json({"id": asked["id"], "error": {"code": 1}})

    async def case(line: JsonRpc) -> None:
        asked = asyncio.ensure_future(line.asked("which", {}))
        assert await asked == {"id": 1, "error": {"code": 1}}
        assert not line.over

    def heard(message: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return {"id": 0, "method": "news"} if message.get("method") == "heartbeat" else None

    async def apart(socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        tasks.append(asyncio.ensure_future(noisy(socket, asked)))

    tasks: list[Any] = []
    talked(case, apart, heard=heard)
    assert len(answers) == 1


def test_it_ends_when_it_was_said_to_last() -> None:
    async def case(line: JsonRpc) -> None:
        line.ends(0.02)
        line.ends(60)
        await asyncio.sleep(0.1)
        assert not line.over
        line.ends(0.02)
        await until(lambda: line.over)

    talked(case)


def test_a_dial_that_nobody_answers_is_given_up() -> None:
    async def dial() -> None:
        arrived: list[asyncio.StreamWriter] = []

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            arrived.append(writer)
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with ClientSession() as session:
            with pytest.raises(wire.RequestTimeout, match="is not answered"):
                await JsonRpc.to(f"http://127.0.0.1:{port}", session, 0.1, nothing)
            await until(lambda: bool(arrived) and arrived[0].is_closing())
        server.close()
        await server.wait_closed()

    asyncio.run(asyncio.wait_for(dial(), 30))
