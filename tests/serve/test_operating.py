"""The operator's commands: one clear line on a wrong one, and a status that needs nothing but the journal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rehedge import app
from serve.config import ServeConfig
from serve.journal import Journal
from serve.session import Source, run
from tests.serve.support import PERP, START, write_bars


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_bars(tmp_path_factory.mktemp("bars") / "bars.csv"))


def called(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.stdout, done.stderr


def test_commands_to_a_hedger_that_does_not_run_wait_for_it(settings: ServeConfig, bars: str, tmp_path: Path) -> None:
    url = str(tmp_path / "j.db")
    journal = Journal(url)
    core = run(settings, journal, Source((bars,), START, 1))
    journal.close()
    assert core.state is not None
    held = core.state.ledger.position(PERP)
    assert held != 0

    code, out, _ = called("status", url)
    assert code == 0
    assert out.startswith(f"{core.state.risk.name} at ")
    assert f"{PERP}: position {held}." in out
    assert "Last decision " in out

    code, _, error = called("halt", url, "--why", "drill", "--who", "ann", "--wait", "0")
    assert (code, error.count("\n")) == (1, 1)
    assert "failed: halt: recorded and no order leaves until it is taken; no hedger has taken it yet" in error
    assert called("acknowledge", url, "no_such", "--why", "drill", "--wait", "0")[0] == 1
    assert called("override", url, "delta:DOGE", "--why", "drill", "--wait", "0", "--json")[0] == 1
    assert "Waiting: halt by ann." in called("status", url)[1]
    sent = ("transfer", url, PERP, "--why", "drill", "--who", "ann", "--wait", "0")
    assert "amount '-5' is no sum of money" in called(*sent, "--", "-5")[2]
    assert called(*sent, "25000")[0] == 1
    assert "Waiting: 25,000.00 from outside to BTC-PERP by ann." in called("status", url)[1]

    again = Journal(url)
    core = run(settings, again, Source((bars,), START, 2))
    again.close()
    assert core.state is not None
    assert core.state.strictest() == "operator: ann: drill"
    facts = json.loads(called("status", url, "--json")[1])
    assert (facts["state"], facts["waiting"]) == ("HALTED", [])
    assert facts["positions"] == {PERP: str(core.state.ledger.position(PERP))}
    assert core.state.dropped["Operator"] == 2
    assert core.state.opening.posted == {PERP: 25_000}
    assert not core.state.venue.mismatches
    inbox = Journal(url, readonly=True).inbox()
    refusals = sorted(inbox.answered(name) or "" for name in _ids(url))
    assert refusals[0].startswith("refused: there is no breaker no_such; have ")
    assert refusals[1].startswith("refused: there is no limit delta:DOGE; have delta:BTC, ")
    assert refusals[2] == "taken"
    inbox.close()


def _ids(url: str) -> list[str]:
    journal = Journal(url, readonly=True)
    bodies = [json.loads(entry.body) for entry in journal.read()]
    journal.close()
    return [body["command"] for body in bodies if body["type"] == "Operator"]


def test_a_wrong_command_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    missing = str(tmp_path / "no.db")
    for arguments in (["halt", missing, "--why", "x"], ["status", missing]):
        code, _, error = called(*arguments)
        assert (code, error.count("\n")) == (2, 1)
        assert "no such journal" in error
    assert not list(tmp_path.iterdir())
    Journal(str(tmp_path / "j.db")).close()
    code, _, error = called("halt", str(tmp_path / "j.db"), "--why", " ")
    assert (code, error) == (2, "error: --why is empty; say why, for the journal\n")
