"""A person at the page of a hedger that runs: sees it trip within a second, halts it with two taps."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tomli_w
from playwright.sync_api import Page, sync_playwright

from serve.clock import SECOND, RealClock, show
from serve.commands import Transition
from serve.config import ServeConfig
from serve.events import Operator
from tests.serve.processes import PATIENCE, entries, found, free_port, listening, running, until
from tests.serve.support import START, raw_config, write_bars

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PHONE = 390  # pixels across
SPEED = 600  # times the wall: an hour in 6 s, which is as long as the trip lasts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed"),
]


def test_a_trip_is_seen_within_a_second_and_two_taps_halt(
    settings: ServeConfig, issued: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    journal, port = tmp_path / "j.db", free_port()
    config, bars = tmp_path / "config.toml", write_bars(tmp_path / "bars.csv", jump_at=67)
    config.write_text(tomli_w.dumps(raw_config(model=settings.model)))
    serve = ["serve", str(config), "--journal", str(journal), "--feed", str(bars), "--from", show(START)]
    look = ["dashboard", str(journal), "--port", str(port), "--tokens", str(issued[0])]
    with running(tmp_path / "hedger.log", *serve, "--days", "3", "--speed", str(SPEED)), _page() as (page, faults):
        until(lambda: entries(journal) > 0)
        with running(tmp_path / "dashboard.log", *look):
            until(lambda: listening(port))
            page.goto(f"http://127.0.0.1:{port}/")
            page.fill("#token", issued[1]["operate"])
            page.click("#entry button")
            page.wait_for_selector("#state:text-is('ACTIVE')", timeout=PATIENCE)

            until(lambda: any(each.breaker == "price_jump" for each in found(journal, Transition)))
            seen = RealClock().now()
            page.wait_for_selector("#state:text-is('REDUCING')", timeout=PATIENCE)
            assert RealClock().now() - seen < SECOND
            assert "price_jump takes REDUCING" in page.inner_text("#breakers")
            assert page.inner_text("#means") == "only orders that shrink risk leave"
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE, "nothing sticks out"
            assert {"calm", "storm"} & set(page.inner_text("#exposure").split())

            page.click("#more summary")
            page.fill("#why", "drill at three in the morning")
            page.click("#halt")
            assert not found(journal, Operator), "one tap does nothing"
            page.click("#halt")
            page.wait_for_selector("#state:text-is('HALTED')", timeout=PATIENCE)
            (told,) = found(journal, Operator)
            assert (told.action, told.who, told.why) == ("halt", "operateer", "drill at three in the morning")
    expected = ("401", "ERR_")  # before the token is typed, and once the server has ended
    assert not [each for each in faults if not any(code in each for code in expected)]


@contextmanager
def _page() -> Iterator[tuple[Page, list[str]]]:
    """On a phone, with what its console complained of."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        page, faults = browser.new_page(viewport={"width": PHONE, "height": 800}), list[str]()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        yield page, faults
        browser.close()
