"""What goes wrong on the exchange's thread is logged without a word of what was sent or heard there."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.venues.connection import Connection
from serve.venues.lanes import Lanes
from serve.venues.secrets import Secrets
from tests.serve.dialects.house import house
from tests.serve.venues.desk import settings

PLANTED = {"apiKey": "planted-key-4711", "secret": "planted-secret-0815"}


@pytest.fixture
def lanes(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Lanes]:
    """Where somebody has everything logged."""
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    caplog.set_level(logging.DEBUG)
    own = Lanes()
    yield own
    own.close()


def hidden(text: str) -> bool:
    return "planted" not in text


def failed(said: str) -> None:
    raise ValueError(said)


def test_an_error_in_a_callback_is_logged_by_type_and_place(lanes: Lanes, caplog: pytest.LogCaptureFixture) -> None:
    lanes._loop.call_soon_threadsafe(failed, PLANTED["secret"])
    lanes.settle(1.0)
    line = failed.__code__.co_firstlineno + 1
    assert f"an error that nobody awaits: ValueError, test_lanes.py:{line}" in caplog.text
    assert hidden(caplog.text)


def test_an_error_of_a_task_that_nobody_awaits_is_logged_by_its_type(
    lanes: Lanes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    async def fails() -> None:
        failed(PLANTED["secret"])

    async def begun() -> None:
        asyncio.get_running_loop().create_task(fails())
        asyncio.get_running_loop().create_future().set_exception(OSError(PLANTED["apiKey"]))

    lanes.ask(begun())
    lanes.settle(1.0)
    gc.collect()
    assert "an error that nobody awaits: ValueError, test_lanes.py:" in caplog.text
    assert caplog.messages.count("an error that nobody awaits: OSError") == 1
    assert hidden(caplog.text + "".join(capfd.readouterr()))


def test_a_slow_callback_is_not_logged_with_what_it_was_called_with(
    lanes: Lanes, caplog: pytest.LogCaptureFixture
) -> None:
    lanes._loop.slow_callback_duration = 0.0
    lanes._loop.call_soon_threadsafe(len, PLANTED["secret"])
    lanes.settle(1.0)
    assert hidden(caplog.text)


def test_what_is_open_at_the_end_is_logged_in_words_of_asyncio(lanes: Lanes, caplog: pytest.LogCaptureFixture) -> None:
    lanes._loop.call_exception_handler({"message": "Unclosed client session", "client_session": PLANTED})
    assert caplog.messages[-1:] == ["Unclosed client session"]
    assert hidden(caplog.text)


def test_no_header_or_body_is_logged_or_printed(
    lanes: Lanes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """At DEBUG ccxt logs both, the key among them; where it is verbose it prints them."""

    async def case() -> None:
        async with house("binance_usdm", tmp_path) as own:
            line = Connection(settings(own.address, name="binance_usdm"), own.dialect, Secrets(PLANTED))
            x = line.made()
            await line.loaded(x)
            with pytest.raises(Exception, match="Invalid API-key"):
                await x.fetch_balance()
            await x.close()
            assert any(PLANTED["apiKey"] in each.headers.values() for each in own.overheard.requests), "it was sent"

    lanes.ask(asyncio.wait_for(case(), 30))
    assert hidden(caplog.text + "".join(capfd.readouterr()))
