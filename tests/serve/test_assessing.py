"""The self-assessment: every fact of it is one of the journal's, and what was not exercised is said."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rehedge import app
from serve.assessing import Act, Facts
from serve.assessment import gaps, page
from serve.clock import HOUR, SECOND
from serve.commands import Alert, Denied, Dropped, Flat, Quiet, Transition
from serve.config import ServeConfig
from serve.events import Operator, Started, VenueTime
from serve.inbox import Inbox
from serve.journal import Journal
from serve.session import Source, run
from tests.serve.support import START, write_bars

HALT = Operator(START, "halt", "ann", "drill", "")
T = START + 1_000


def facts(*items: object) -> Facts:
    made = Facts(0, 2**62)
    for item in items:
        made.heard(item)  # type: ignore[arg-type]
    made.closed()
    return made


def moved(at: int, name: str, after: str, state: str, reason: str = "drill") -> Transition:
    return Transition(at, name, "ACTIVE", after, state, reason)


def test_time_in_each_state_adds_up_to_the_period() -> None:
    made = facts(
        Started(START, "", "", "", ""),
        moved(START + HOUR, "latency", "REDUCING", "REDUCING"),
        moved(START + 2 * HOUR, "operator", "HALTED", "HALTED", "ann: drill; latched until a person acknowledges it"),
        Quiet(START + 2 * HOUR + 1500, START + 2 * HOUR),
        moved(START + 4 * HOUR, "operator", "ACTIVE", "ACTIVE", "recovered"),
        Alert(START + 5 * HOUR, "end"),
    )
    assert made.states == {"ACTIVE": 2 * HOUR, "REDUCING": HOUR, "HALTED": 2 * HOUR}
    assert (made.trips, made.latches["operator"]) == ({"latency": 1, "operator": 1}, 1)
    assert [act.seconds for act in made.halts] == [1.5]
    assert not any(line.startswith("C11: no halt") for line in gaps(made))


def test_reasons_are_counted_without_their_numbers() -> None:
    cut = [Denied(T, "P", 1, f"soft limit delta:BTC is {k}.5") for k in (1, 20)]  # type: ignore[arg-type]
    made = facts(*cut, Dropped(T, "QuoteEvent", "repeats"), VenueTime(T, -40, 7), VenueTime(T, 3, 90))
    assert made.denied == {"soft limit delta:BTC is …": 2}
    assert made.dropped == {"QuoteEvent": 1}
    assert made.worst == {"round trip to the venue": 90, "clock against the venue's": 40}


def test_a_flatten_is_confirmed_by_flat_and_an_open_one_is_a_gap() -> None:
    asked = Operator(START, "flatten", "ann", "drill", "close")
    done = facts(asked, Flat(START + 9 * SECOND, "close", (), START))
    assert done.flattens == [Act(START, "flatten close", 9.0)]
    opened = facts(asked, Flat(START + 9 * SECOND, "close", (), START), asked)
    assert "C11: 1 halts and flattens were not confirmed by two sources; see why." in gaps(opened)


def test_a_page_has_a_line_for_whoever_signs() -> None:
    made = page(facts(HALT), "j.db", "1:ab")
    assert "ann: halt (drill)" in made
    assert made.count("| | | | |") == 3


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_bars(tmp_path_factory.mktemp("bars") / "bars.csv"))


def _bodies(url: str) -> list[dict[str, object]]:
    with closing(Journal(url, readonly=True)) as journal:
        return [json.loads(entry.body) for entry in journal.read()]


def test_the_command_reads_a_journal(settings: ServeConfig, bars: str, tmp_path: Path) -> None:
    url, out = str(tmp_path / "j.db"), tmp_path / "page.md"
    journal = Journal(url)
    inbox: Inbox = journal.inbox()
    core = run(settings, journal, Source((bars,), START, 1))
    inbox.tell(HALT)
    inbox.close()
    core = run(settings, journal, Source((bars,), START, 2))
    journal.close()
    assert core.state is not None
    called = CliRunner().invoke(app, ["assess", url, "--json"])
    told = json.loads(called.stdout)
    assert (called.exit_code, told["sessions"]) == (0, 2)
    assert told["persons"][0].endswith("ann: halt (drill)")
    assert told["halts"][0]["seconds"] is not None
    assert told["fills"] == sum(1 for line in _bodies(url) if line["type"] == "Filled") > 0
    written = CliRunner().invoke(app, ["assess", url, "--out", str(out)])
    assert (written.exit_code, out.read_text().count("## ")) == (0, 9)
    wrong = CliRunner().invoke(app, ["assess", url, "--from", "soon"])
    assert (wrong.exit_code, wrong.stderr.count("\n")) == (2, 1)
