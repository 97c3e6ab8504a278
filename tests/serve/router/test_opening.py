"""The shipped routed settings on two rehearsal exchanges, through real ccxt, with kill -9 of the hedger in between."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from envs.types import BadInput
from serve import config as configs
from serve.clock import HOUR, parse
from serve.codec import decode
from serve.commands import SubmitOrder, Transition
from serve.events import Filled, SourcePrice, Started
from serve.journal import Journal
from serve.market import Market
from serve.rehearsal.clock import STEP
from serve.rehearsal.faults import MINUTE, Fault
from serve.rehearsal.plan import Plan
from serve.rehearsal.server import Server, opened
from serve.rehearsal.statement import statement
from serve.router.clocks import Together
from serve.router.opening import placed
from serve.runner import replayed
from serve.session import basis
from serve.source import Source
from serve.venues.lanes import Lanes
from tests.serve.processes import ROOT, running, until

FIRST, HOURS = parse("2022-06-13"), 2
VENUES = ("deribit", "okx")


def raw(*addresses: str) -> dict[str, Any]:
    """The shipped settings, at these rehearsals, with hedges in small slices."""
    found = tomllib.loads((ROOT / "configs" / "routed.toml").read_text())
    for venue, address in zip(VENUES, addresses, strict=True):
        found["venue"]["venues"][venue]["rehearsal"] = address
    found["model"] = str(ROOT / found["model"])
    found["bands"] |= {"calm_width": 0.05, "stress_width": 0.05}
    found["limits"]["legs"]["BTC-PERP"]["order"] = {"soft": "0.15", "hard": "0.15"}
    found["breakers"]["liquidity_collapse"]["depth"] = {"entry": 5_000, "exit": 10_000}
    return found


@dataclass
class Exchange:
    server: Server
    address: str


@contextmanager
def exchange(folder: Path, protocol: str) -> Iterator[Exchange]:
    """On a thread of its own; its day has two hours, and both have the same market."""
    folder.mkdir()
    lanes = Lanes()
    with Plan(folder, ("BTC",), protocol, FIRST, 1, 7, ()).opened() as server:
        server._span = (FIRST, FIRST + HOURS * HOUR)
        runner, port = lanes.ask(opened(server, 0))
        try:
            yield Exchange(server, f"http://127.0.0.1:{port}")
        finally:
            lanes.ask(runner.cleanup())
            lanes.close()


def items(journal: Path) -> Sequence[Any]:
    """Of a journal whose replay is what was recorded."""
    with closing(Journal(str(journal), readonly=True)) as found:
        replayed(found)
        return [decode(entry.body) for entry in found.read()]


@pytest.mark.slow
def test_two_exchanges_as_one_and_a_hedger_that_is_killed(tmp_path: Path) -> None:
    """While the one is under maintenance the other fills. Every order is at one exchange once; fills and positions are
    at each what the journal says.
    """
    with exchange(tmp_path / "deribit", "deribit") as first, exchange(tmp_path / "okx", "okx") as second:
        first.server._faults.add(Fault("maintenance", FIRST + 20 * MINUTE, FIRST + 40 * MINUTE))
        config, journal = tmp_path / "routed.toml", tmp_path / "routed.db"
        config.write_text(tomli_w.dumps(raw(first.address, second.address)))
        serve = ("serve", str(config), "--journal", str(journal), "--json")
        with running(tmp_path / "first.log", *serve) as hedger:
            until(lambda: first.server.floor.now >= FIRST + HOUR or hedger.popen.poll() is not None)
            assert hedger.popen.poll() is None, hedger.said()
            hedger.popen.kill()
        with running(tmp_path / "second.log", *serve) as hedger:
            until(lambda: hedger.popen.poll() is not None)
            assert hedger.popen.returncode == 0, hedger.said()
        told = {"deribit": statement(first.server.floor.exchange, "trader")}
        told["okx"] = statement(second.server.floor.exchange, "trader")
    found = items(journal)
    fills = {venue: Counter[str]() for venue in VENUES}
    held = dict.fromkeys(VENUES, Decimal(0))
    for fill in {each.trade: each for each in found if isinstance(each, Filled)}.values():
        fills[fill.trade.split("/")[0]][fill.order] += 1
        held[fill.trade.split("/")[0]] += fill.units
    for venue, own in told.items():
        names = [each["client_id"] for each in own["orders"]]
        assert len(names) == len(set(names))
        assert not [each for each in own["orders"] if each["status"] == "open"]
        assert own["fills"] == fills[venue].total() > 0
        assert [Decimal(units) for units in own["positions"].values()] == [units for units in [held[venue]] if units]
        assert own["reserved"] == "0"
        assert own["conserved"]
    assert len([each for each in found if isinstance(each, SubmitOrder)]) > 10
    assert len([each for each in found if isinstance(each, Started)]) == 2
    assert {each.source for each in found if isinstance(each, SourcePrice)} == {"binance_usdm", "hyperliquid"}
    trips = {each.breaker for each in found if isinstance(each, Transition)}
    assert not trips & {"reconciliation_mismatch", "oracle_deviation"}
    contracts = [json.loads(each.venue)["venues"] for each in found if isinstance(each, Started)]
    assert contracts[0] == contracts[1]
    assert set(contracts[0]) == set(VENUES)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"routes": {}}, r"venue\.routes\.BTC-PERP is missing"),
        ({"routes": {"BTC-PERP": None, "ETH-PERP": None}}, r"venue\.routes\.ETH-PERP is no leg"),
        ({"rehearsal": ("http://127.0.0.1:9", None)}, "a rehearsal of its own"),
        ({"rehearsal": ("http://127.0.0.1:9",) * 2}, "a rehearsal of its own"),
    ],
)
def test_what_cannot_be_routed_is_refused(changes: dict[str, Any], words: str) -> None:
    own = raw("http://127.0.0.1:9", "http://127.0.0.1:10")
    venue = own["venue"]
    route = venue["routes"]["BTC-PERP"]
    venue["routes"] = dict.fromkeys(changes.get("routes", venue["routes"]), route)
    for name, address in zip(VENUES, changes.get("rehearsal", ()), strict=False):
        venue["venues"][name]["rehearsal"] = address
    config = configs.ServeConfig.model_validate(own)
    with pytest.raises(BadInput, match=words):
        placed(config, Market(basis(config).task, config.assets, config.legs), Source((), 0, 0), None, [], {})


class Stepped:
    """A clock that goes as it is told to, and notes it."""

    def __init__(self, name: str, now: int, noted: list[tuple[str, int]]) -> None:
        self._name, self._now, self._noted = name, now, noted

    def now(self) -> int:
        return self._now

    def wait_until(self, when: int) -> None:
        self._now = max(self._now, when)
        self._noted.append((self._name, self._now))

    def ahead(self, milliseconds: int) -> int:
        return self._now + milliseconds


def test_no_clock_goes_ahead_of_another_by_more_than_a_step() -> None:
    noted: list[tuple[str, int]] = []
    both = Together([Stepped("a", 0, noted), Stepped("b", 7, noted)])
    assert (both.now(), both.ahead(5)) == (0, 5)
    both.wait_until(2 * STEP + 9)
    assert both.now() == 2 * STEP + 9
    at = {"a": 0, "b": 7}
    for name, now in noted:
        at[name] = now
        assert abs(at["a"] - at["b"]) <= STEP
