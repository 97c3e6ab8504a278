"""A person at the page of a hedger that runs: sees it trip within a second, halts it with two taps."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
import tomli_w
from playwright.sync_api import Page, sync_playwright

from envs.types import BadInput
from serve import codec
from serve.clock import SECOND, RealClock, show
from serve.commands import Transition
from serve.config import ServeConfig
from serve.errors import JournalError
from serve.events import Operator
from serve.journal import Journal
from tests.serve.support import START, raw_config, write_bars

ROOT = Path(__file__).parents[3]
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SPEED = 5_000  # times the wall: an hour in .7 s
PATIENCE = 120 * SECOND
T = TypeVar("T")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed"),
]


def test_a_trip_is_seen_within_a_second_and_two_taps_halt(
    settings: ServeConfig, issued: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    journal, port = tmp_path / "j.db", _free()
    config, bars = tmp_path / "config.toml", write_bars(tmp_path / "bars.csv", jump_at=75)
    config.write_text(tomli_w.dumps(raw_config(model=settings.model)))
    serve = ["serve", str(config), "--journal", str(journal), "--feed", str(bars), "--from", show(START)]
    look = ["dashboard", str(journal), "--port", str(port), "--tokens", str(issued[0])]
    with _running(*serve, "--days", "3", "--speed", str(SPEED)), _page() as (page, faults):
        _until(lambda: _written(journal))
        with _running(*look):
            _until(lambda: _listening(port))
            page.goto(f"http://127.0.0.1:{port}/")
            page.fill("#token", issued[1]["operate"])
            page.click("#entry button")
            page.wait_for_selector("#state:text-is('ACTIVE')", timeout=PATIENCE)

            _until(lambda: any(each.breaker == "price_jump" for each in _found(journal, Transition)))
            seen = RealClock().now()
            page.wait_for_selector("#state:text-is('REDUCING')", timeout=PATIENCE)
            assert RealClock().now() - seen < SECOND
            assert "price_jump" in page.inner_text("#breakers")

            page.fill("#why", "drill at three in the morning")
            page.click("#halt")
            assert not _found(journal, Operator), "one tap does nothing"
            page.click("#halt")
            page.wait_for_selector("#state:text-is('HALTED')", timeout=PATIENCE)
            (told,) = _found(journal, Operator)
            assert (told.action, told.who, told.why) == ("halt", "operateer", "drill at three in the morning")
    expected = ("401", "ERR_")  # before the token is typed, and once the server has ended
    assert not [each for each in faults if not any(code in each for code in expected)]


@contextmanager
def _page() -> Iterator[tuple[Page, list[str]]]:
    """On a phone, with what its console complained of."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        page, faults = browser.new_page(viewport={"width": 390, "height": 800}), list[str]()
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        yield page, faults
        browser.close()


@contextmanager
def _running(*arguments: str) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, str(ROOT / "rehedge.py"), *arguments], cwd=ROOT, stderr=subprocess.PIPE)
    try:
        yield
    finally:
        process.terminate()
        _, complaint = process.communicate(timeout=60)
    assert b"Traceback" not in complaint, complaint.decode()


def _found(journal: Path, kind: type[T]) -> list[T]:
    with closing(Journal(str(journal), readonly=True)) as kept:
        items = [codec.decode(entry.body) for entry in kept.read()]
    return [each for each in items if isinstance(each, kind)]


def _written(journal: Path) -> bool:
    try:
        with closing(Journal(str(journal), readonly=True)) as kept:
            return kept.head[0] > 0
    except (BadInput, JournalError):
        return False


def _until(holds: Callable[[], bool]) -> None:
    clock, end = RealClock(), RealClock().now() + PATIENCE
    while not holds():
        assert clock.now() < end, "waited in vain"
        clock.wait_until(clock.now() + SECOND // 20)


def _free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _listening(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
