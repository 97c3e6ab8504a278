"""Changes of the book that are told to a running hedger: each is taken once, with who and why."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rehedge import app
from serve import codec
from serve.bookfile import BookFile
from serve.clock import HOUR
from serve.config import ServeConfig
from serve.events import BookFunded, BookSettled, BookTraded, Event, Holding, Malformed
from serve.journal import Journal
from serve.session import Source, run
from serve.state import State
from tests.serve.support import SPOT, START, write_bars

HELD = Holding("9-block", "BTC", "option", Decimal("-4"), START + 30 * HOUR, "call", SPOT)
SOLD = BookTraded(START, HELD, Decimal(2000), trade="t-1")


def line(event: Event, **more: object) -> str:
    said = {name: value for name, value in json.loads(codec.encode(event)).items() if name not in ("time", "more")}
    return json.dumps(said | more) + "\n"


def called(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.stdout, done.stderr


def served(url: str, settings: ServeConfig, bars: str, days: int) -> State:
    journal = Journal(url)
    core = run(settings, journal, Source((bars,), START, days))
    journal.close()
    assert core.state is not None
    return core.state


def test_a_file_of_trades_is_told_and_taken_once(settings: ServeConfig, tmp_path: Path) -> None:
    """Told before the hedger runs, told again, and over a restart; the paper desk's own numbers go on."""
    url, bars = str(tmp_path / "j.db"), str(write_bars(tmp_path / "bars.csv"))
    trades = tmp_path / "trades.jsonl"
    trades.write_text(line(SOLD))
    Journal(url).close()
    sent = ("book", url, str(trades), "--who", "ann", "--why", "block", "--wait", "0")
    for _ in range(2):
        code, _, error = called(*sent)
        assert (code, error.count("\n")) == (1, 1)
        assert "1 of 1 changes not taken; change 1: recorded; no hedger has taken it yet" in error
    assert "BookTraded 9-block by ann" in called("status", url)[1]
    state = served(url, settings, bars, 1)
    assert state.book.holdings["9-block"].units == -4
    assert state.dropped["BookTraded"] == 1, "the second has the first one's trade id"
    later = served(url, settings, bars, 2).book.holdings
    assert 0 < int(next(iter(later)).partition("-")[0]) < 9
    assert "ann: BookTraded (block)" in called("assess", url)[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no whole line"),
        (line(SOLD) + "not json\n", "change 2: "),
        (line(SOLD, premium=5), "(5 is no decimal text); nothing was told"),
        (line(SOLD, command="x"), "change 1: a file bears no command of the inbox"),
        (line(Malformed(START, "a", "b", "c")), "a Malformed is not told here"),
    ],
)
def test_a_file_with_a_wrong_line_is_not_told_at_all(tmp_path: Path, text: str, words: str) -> None:
    url, trades = str(tmp_path / "j.db"), tmp_path / "trades.jsonl"
    Journal(url).close()
    trades.write_text(text)
    code, _, error = called("book", url, str(trades), "--who", "ann", "--wait", "0")
    assert (code, error.count("\n")) == (2, 1)
    assert words in error
    journal = Journal(url, readonly=True)
    inbox = journal.inbox()
    assert not inbox.waiting()
    inbox.close()
    journal.close()


def test_what_was_told_otherwise_does_not_count_as_a_line_of_the_book_file(tmp_path: Path) -> None:
    """Else a restart would skip a trade of the file that is not journalled."""
    path = tmp_path / "book.jsonl"
    settled, funded = BookSettled(START, "9-block", SPOT, Decimal(-5)), BookFunded(START, "9-block", Decimal(1))
    path.write_text(line(SOLD) + line(settled))
    told = BookTraded(START, HELD, Decimal(2000), who="ann", command="c-1")
    past = [told, BookFunded(START, "9-block", Decimal(1), who="ann", command="c-2"), SOLD]
    assert BookFile(path, past).fresh(START) == (settled,)
    assert BookFile(path, [SOLD, funded]).fresh(START) == ()
