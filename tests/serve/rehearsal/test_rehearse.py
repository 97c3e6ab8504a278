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
from serve.rehearsal.rehearsing import Kill, kills

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
    away = [kill.away for kill in kills(200, plan(tmp_path))]
    assert 10_000 <= min(away) < 20_000
    assert 600_000 < max(away) <= 1_200_000
    assert 70 < sum(each < 110_000 for each in away) < 130, "half of them, of 200: three standard errors are 21"


def test_a_hedger_is_killed_while_something_rests() -> None:
    """It is waited for up to an hour; for an exchange, not."""
    for who, waits in (("hedger", HOUR), ("both", HOUR), ("exchange", 0)):
        kill = Kill(FIRST, who, 0)  # type: ignore[arg-type]
        assert not kill.due(FIRST - 1, 1)
        assert kill.due(FIRST, 1)
        assert kill.due(FIRST, 0) == (waits == 0)
        assert kill.due(FIRST + waits, 0)


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
@pytest.mark.parametrize(
    ("protocol", "resting"), [("deribit", 30), ("okx", 30), ("binance_usdm", 30), ("hyperliquid", 0)]
)
def test_a_day_with_every_fault_and_kills(tmp_path: Path, protocol: str, resting: int) -> None:
    """The example's settings by each protocol, with orders that take and that rest, from the command line: everything
    adds up.
    """
    config, example = tmp_path / "config.toml", (ROOT / "configs" / "deribit.toml").read_text()
    example = example.replace("resting_seconds = 0", f"resting_seconds = {resting}").replace(
        "models/", f"{ROOT}/models/"
    )
    config.write_text(example.replace("dead_man_seconds = 600.0", "dead_man_seconds = 60.0"))
    command = [sys.executable, "-m", "rehedge", "rehearse", str(config), "--protocol", protocol]
    command += ["--kill", "3", "--seed", "5", "--folder", str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=1_200, check=False)
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["violations"] == []
    assert done.returncode == 0
    assert told["restarts"] == 3
    assert set(told["faults"]) >= {"gap", "stalled", "disconnected", "crossed", "ghost"}
    assert told["orders"] > 0
    assert (told["rested"] > 0) == (resting > 0)
