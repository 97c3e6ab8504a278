"""Fetching from the rehearsal exchange through real ccxt: whole, interrupted and gone on, and refused in a line."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ccxt
import pytest

import rehedge
from envs.history import load_bars, load_funding
from envs.types import BadInput
from serve.rehearsal.faults import Fault
from serve.rehearsal.types import Fund, Move
from tests.serve.dialects.house import HOUR, START, House, house
from train.fetch import fetched
from train.venue_history import Failed, Request, VenueHistory, _moved

SYMBOL = "BTC/USDC:USDC"
FIRST, LAST = START + 24 * HOUR - START % (24 * HOUR), START + 96 * HOUR
ROOT = Path(__file__).parents[2]


@contextmanager
def standing(folder: Path, hours: int = 100, name: str = "deribit") -> Iterator[House]:
    """The exchange, so many hours old, answering from a thread of its own."""
    opened, done, found = threading.Event(), threading.Event(), list[House]()

    async def stand() -> None:
        async with house(name, folder) as own:
            for hour in range(1, hours + 1):
                at = START + hour * HOUR
                own.market.coming += [Move(at, "BTC", Decimal(84_000 + 7 * (hour**2 % 101)), 1e-5 * hour, depth=0.0)]
                own.market.coming += [Fund(at)]
            for _ in own.floor.advance(START + hours * HOUR):
                own.floor.told.clear()
            found.append(own)
            opened.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(stand(),))
    thread.start()
    try:
        assert opened.wait(60)
        yield found[0]
    finally:
        done.set()
        thread.join()


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with standing(tmp_path_factory.mktemp("venue")) as own:
        yield own


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.venue_history.PAGE", 20)
    monkeypatch.setattr("train.venue_history.RETRIES", 0)


def request(what: Any = "bars", **changes: Any) -> Request:
    return Request(
        **{"exchange": "deribit", "symbol": SYMBOL, "what": what, "bars": "1h", "first": FIRST, "last": LAST} | changes
    )


@pytest.mark.parametrize("name", ["deribit", "okx", "binance_usdm", "hyperliquid"])
def test_bars_and_funding_are_those_of_the_exchange(name: str, tmp_path: Path) -> None:
    own_name = {"binance_usdm": "binanceusdm"}.get(name, name)
    with standing(tmp_path, name=name) as own:
        asked = request(exchange=own_name)
        told = fetched(asked, lambda: VenueHistory(asked, own.address), tmp_path / "btc.csv")
        paid = request("funding", exchange=own_name, last=FIRST + 48 * HOUR)
        days = fetched(paid, lambda: VenueHistory(paid, own.address), tmp_path / "funding.csv")
        candles = own.floor.candles("BTC-PERP", FIRST, HOUR)
        rates = own.floor.exchange.funding_history("BTC-PERP", FIRST)
    frame, sides = load_bars(tmp_path / "btc.csv").frame, ["open", "high", "low", "close", "volume"]
    assert told.missing == days.missing == 0
    assert [time.timestamp() * 1000 for time in frame.index] == [each.time for each in candles if each.time < LAST]
    kept = [[float(getattr(each, side)) for side in sides] for each in candles if each.time < LAST]
    assert frame[sides].to_numpy().tolist() == kept
    sums = [sum(float(each.rate) for each in rates[day : day + 24]) for day in (0, 24)]
    assert load_funding(tmp_path / "funding.csv").tolist() == pytest.approx([365 * each for each in sums], rel=1e-9)


def test_interrupted_it_goes_on_to_the_same_bytes(venue: House, tmp_path: Path) -> None:
    fetched(request(), lambda: VenueHistory(request(), venue.address), tmp_path / "whole.csv")
    now, lost = venue.floor.now, list[float]()

    def lose(share: float) -> None:
        lost.append(share)
        venue.faults.add(Fault("request_lost", now, now))

    for _ in range(2):
        with pytest.raises(Failed, match="deribit: "):
            fetched(request(), lambda: VenueHistory(request(), venue.address), tmp_path / "cut.csv", lose)
    fetched(request(), lambda: VenueHistory(request(), venue.address), tmp_path / "cut.csv")
    assert len(lost) == 2
    assert (tmp_path / "cut.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"exchange": "deribbit"}, "no exchange is named 'deribbit'; ccxt has deribit"),
        ({"symbol": "BTC-PERP"}, "deribit has no 'BTC-PERP'"),
        ({"symbol": "BTC/USD:USD"}, "of BTC it has BTC/USDC:USDC"),
        ({"bars": "7h"}, "--bars 7h: deribit has 1m"),
        ({"last": LAST + 9 * HOUR}, "--to is later than 2025-03-05"),
    ],
)
def test_what_cannot_be_fetched_is_said_in_a_line(venue: House, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput) as refused:
        VenueHistory(request(**changes), venue.address)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_exchange_that_is_not_there_fails_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--address", "http://127.0.0.1:9", "--out", str(tmp_path / "btc.csv")]
    with pytest.raises(SystemExit) as ended:
        rehedge.main(["fetch", "deribit", SYMBOL, "--from", "2025-03-02", "--to", "2025-03-04", *where])
    told = capsys.readouterr().err.strip().splitlines()
    assert ended.value.code == 1
    assert told[-1].startswith("rehedge: deribit: ")
    assert told[-1].endswith("what came is kept: give the same command again to go on")


@pytest.mark.parametrize("name", ["deribit", "okx", "binanceusdm", "hyperliquid", "bybit"])
def test_at_another_address_nothing_is_left_of_the_exchange_s_own(name: str) -> None:
    def hosts(urls: Any) -> set[str | None]:
        return {urlsplit(urls).hostname} if isinstance(urls, str) else set().union(*map(hosts, urls.values()))

    assert hosts(_moved(getattr(ccxt, name)().urls["api"], "http://127.0.0.1:9")) == {"127.0.0.1"}


@pytest.mark.slow
def test_killed_the_same_command_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    with standing(tmp_path, hours=24 * 16) as own:
        begun = [sys.executable, str(ROOT / "rehedge.py"), "fetch", "deribit", SYMBOL, "--what", "funding", "--json"]
        begun += ["--from", "2025-03-02", "--to", "2025-03-17", "--address", own.address, "--out"]
        whole = subprocess.run([*begun, str(tmp_path / "whole.csv")], capture_output=True, check=True, text=True)
        own.faults.add(Fault("rate_limited", own.floor.now, own.floor.now + 60_000))  # it waits, and is killed there
        part = tmp_path / "cut.csv.part"
        with subprocess.Popen([*begun, str(tmp_path / "cut.csv")]) as process:
            while not (part.exists() and "@" in part.read_text()):
                os.sched_yield()
            process.send_signal(signal.SIGKILL)
        assert part.exists()
        told = subprocess.run([*begun, str(tmp_path / "cut.csv")], capture_output=True, check=True, text=True)
    assert (tmp_path / "cut.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert {**json.loads(told.stdout), "out": ""} == {**json.loads(whole.stdout), "out": ""}
