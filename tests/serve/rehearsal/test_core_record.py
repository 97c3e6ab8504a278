"""The rehearsal exchange on disk: a kill at any time leaves an exchange that goes on as if nothing had happened."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import NoReturn

import pytest

from envs.types import BadInput
from serve.rehearsal.exchange import Exchange
from serve.rehearsal.record import Recorded, replayed
from serve.rehearsal.types import Command, Move, Place, Transfer
from tests.serve.rehearsal.floor import RULES, START, D


def commands(count: int) -> list[Command]:
    """The first of always the same commands, with a background that trades."""
    made: list[Command] = [Transfer(START, "ann", "USDC", D(10_000))]
    draws = Random(5)
    for number in range(1, count):
        now = START + number * 1000
        place = Place(now, "ann", f"id-{number}", "BTC-PERP", D(draws.choice(("0.1", "-0.1"))), expires_at=now + 5000)
        made.append(place if number % 3 == 2 else Move(now, "BTC", D(1000 + draws.randrange(-5, 5)), depth=1e5))
        if len(made) >= count:
            break
    return made


def applied(count: int) -> Exchange:
    exchange = Exchange(RULES)
    for command in commands(count):
        exchange.apply(command)
    return exchange


def test_a_record_goes_on_where_it_ended(tmp_path: Path) -> None:
    path, wanted = tmp_path / "record", applied(60).digest()
    for first, last in ((0, 20), (20, 59), (59, 60)):
        recorded = Recorded(path, RULES)
        assert recorded.commands == first
        for command in commands(60)[first:last]:
            recorded.apply(command)
        recorded.close()
    assert replayed(path).digest() == wanted
    assert len(replayed(path).fills("ann")) > 5


def test_looking_changes_nothing() -> None:
    exchange = applied(30)
    before = exchange.digest()
    for name in ("ann", "nobody", "maker-1", "insurance"):
        exchange.account(name), exchange.open_orders(name), exchange.orders(name), exchange.fills(name)
        exchange.payments(name), exchange.by_client_id(name, "")
    exchange.ticker("BTC-PERP"), exchange.book("BTC-PERP", 3), exchange.candles("BTC-PERP"), exchange.trades("BTC-PERP")
    exchange.funding_history("BTC-PERP"), exchange.order(1), exchange.total("BTC"), exchange.instruments()
    assert exchange.digest() == before


@pytest.mark.parametrize("torn", [b'["Mo', b'["Move"', b'["Move",{"time":'])
def test_a_torn_end_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "record"
    recorded = Recorded(path, RULES)
    for command in commands(10):
        recorded.apply(command)
    recorded.close()
    with path.open("ab") as file:
        file.write(torn)
    assert replayed(path).digest() == applied(10).digest()
    again = Recorded(path, RULES)
    again.apply(commands(11)[10])
    again.close()
    assert replayed(path).digest() == applied(11).digest()


def test_what_is_no_record_of_these_rules_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "record"
    recorded = Recorded(path, RULES)
    recorded.apply(commands(1)[0])
    with pytest.raises(BadInput, match="in use by another rehearsal"):
        Recorded(path, RULES)
    recorded.close()
    with pytest.raises(BadInput, match="of other rules"):
        Recorded(path, replace(RULES, seed=9))
    lines = path.read_bytes().splitlines(keepends=True)
    for damaged in (b"{}\n", b"\n", b'["Move",{"time":"soon"}]\n', b'["Bribe",{}]\n', b'["Place",{"time":1}]\n'):
        path.write_bytes(lines[0] + damaged + lines[1])
        with pytest.raises(BadInput, match="line 2: no command") as raised:
            Recorded(path, RULES)
        assert "\n" not in str(raised.value)


def endless(path: Path, told: int) -> NoReturn:
    """Applies commands, says each time that it has, and never ends by itself."""
    recorded = Recorded(path, RULES)
    for command in commands(1000)[recorded.commands :]:
        recorded.apply(command)
        os.write(told, b".")
    signal.pause()
    os._exit(1)


def test_kill_9_loses_nothing_that_was_told(tmp_path: Path) -> None:
    path, told = tmp_path / "record", 0
    for after in (5, 40, 100):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            endless(path, writer)
        told += sum(len(os.read(reader, 1)) for _ in range(after))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(writer)
        told += len(os.read(reader, 1000))
        os.close(reader)
        recorded = Recorded(path, RULES)
        assert told <= recorded.commands <= told + 1
        assert recorded.exchange.digest() == applied(recorded.commands).digest()
        told = recorded.commands
        recorded.close()
