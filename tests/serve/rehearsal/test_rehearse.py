"""`rehedge rehearse`: bad input, an exchange that goes on after a kill, and a whole day with both killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import rehedge
from envs.types import BadInput
from serve.clock import DAY, HOUR, parse
from serve.rehearsal.faults import KINDS
from serve.rehearsal.plan import FAULTS, RECORD, Plan
from serve.rehearsal.record import replayed
from serve.rehearsal.rehearsing import kills

ROOT = Path(__file__).parents[3]
FIRST = parse("2022-06-01")


def plan(folder: Path) -> Plan:
    return Plan(folder, ("BTC",), "deribit", FIRST, 1, 7, tuple(KINDS))


@pytest.mark.slow
def test_an_exchange_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    """Its record leads to the same state; a market that was never stopped gives the same commands."""
    for times in ((1, 2), (2,)):
        folder = tmp_path / str(len(times))
        folder.mkdir()
        for hour in times:
            with plan(folder).opened() as server:
                for _ in server.floor.advance(FIRST + hour * HOUR):
                    server.floor.news()
                digest = server.floor.exchange.digest()
        assert replayed(folder / RECORD).digest() == digest
    lines = [(tmp_path / name / RECORD).read_text().splitlines() for name in "21"]
    moves = [[line for line in own if line.startswith('["Move"')] for own in lines]
    assert moves[0] == moves[1]
    assert (tmp_path / "1" / FAULTS).exists()


def test_kills_are_seeded_and_within_the_day(tmp_path: Path) -> None:
    found = kills(6, plan(tmp_path))
    assert found == kills(6, plan(tmp_path))
    assert {kill.who for kill in found} == {"hedger", "exchange", "both"}
    assert all(FIRST < kill.at < FIRST + DAY for kill in found)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["configs/paper.toml"], "is of an exchange's settings"),
        (["configs/deribit.toml", "--faults", "gap,rain"], "rain: no such fault"),
        (["configs/deribit.toml", "--protocol", "nyse"], "nyse"),
        (["configs/nowhere.toml"], "nowhere.toml"),
    ],
)
def test_bad_input(tmp_path: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        rehedge.main(["rehearse", *arguments, "--folder", str(tmp_path)])
    assert ended.value.code == 2
    said = capsys.readouterr().err.strip()
    assert words in said
    assert "\n" not in said


def test_another_exchanges_rules(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no protocol"), Plan(tmp_path, ("BTC",), "nyse", FIRST, 1, 0, ()).opened():
        pass


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["deribit", "okx", "binance_usdm", "hyperliquid"])
def test_a_day_with_every_fault_and_kills(tmp_path: Path, protocol: str) -> None:
    """The example's settings by each protocol, from the command line: everything adds up."""
    command = [sys.executable, "-m", "rehedge", "rehearse", "configs/deribit.toml", "--protocol", protocol]
    command += ["--kill", "3", "--seed", "5", "--folder", str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=1_200, check=False)
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["violations"] == []
    assert done.returncode == 0
    assert told["restarts"] == 3
    assert set(told["faults"]) >= {"gap", "stalled", "disconnected", "crossed", "ghost"}
    assert told["orders"] > 0
