"""Changes of the book that are told to a running hedger: each is taken once, with who and why."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rehedge import app
from serve import codec
from serve.bookfile import BookFile
from serve.clock import HOUR
from serve.config import ServeConfig
from serve.errors import FeedError, Refused
from serve.events import BookFunded, BookSettled, BookTraded, Event, Holding, Malformed, Started
from serve.holdings import Book
from serve.journal import Journal
from serve.session import Source, run
from serve.state import State
from tests.serve.support import SPOT, START, started, write_bars

HELD = Holding("9-block", "BTC", "option", Decimal("-4"), START + 30 * HOUR, "call", SPOT)
SOLD = BookTraded(START, HELD, Decimal(2000), trade="t-1")


FUNDED = BookFunded(START, "9-block", Decimal(1))
WORSE = BookSettled(START, "9-block", float("nan"), Decimal(0))


def session(path: Path | None) -> Started:
    """One whose book is told by a file, or by the desk on paper."""
    book = {"source": "desk"} if path is None else {"source": "file", "path": str(path)}
    return started(with_model=False, book=book)


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
    settled, funded = BookSettled(START, "9-block", SPOT, Decimal(-5)), FUNDED
    path.write_text(line(SOLD) + line(settled))
    told = BookTraded(START, HELD, Decimal(2000), who="ann", command="c-1")
    past = [session(path), told, replace(funded, who="ann", command="c-2"), SOLD]
    assert BookFile(path, past).fresh(START) == (settled,)
    assert BookFile(path, [*past, settled]).fresh(START) == ()


def test_what_another_source_told_is_no_line_of_the_book_file(tmp_path: Path) -> None:
    """The desk on paper sold the very same before the settings named a file."""
    path = tmp_path / "book.jsonl"
    path.write_text(line(SOLD))
    assert BookFile(path, [session(None), SOLD]).fresh(START) == (SOLD,)
    assert BookFile(path, [session(None), SOLD, session(path), SOLD]).fresh(START) == ()


@pytest.mark.parametrize(
    ("lines", "wrong"), [([], 1), ([FUNDED], 1), ([SOLD, FUNDED, SOLD, SOLD], 2), ([SOLD], 2), ([WORSE, WORSE], 1)]
)
def test_a_book_file_that_is_not_what_it_was_is_refused_at_a_restart(
    lines: list[Event], wrong: int, tmp_path: Path
) -> None:
    path = tmp_path / "book.jsonl"
    path.write_text("".join(map(line, lines)))
    past = [session(path), SOLD, WORSE]
    with pytest.raises(FeedError, match=rf"book\.jsonl: line {wrong} is not the one that the journal took"):
        BookFile(path, past).fresh(START)
    path.write_text(line(SOLD) + line(WORSE) + line(FUNDED))
    assert BookFile(path, past).fresh(START) == (FUNDED,)


def test_a_book_file_under_another_name_is_another_unless_it_holds_what_the_first_did(tmp_path: Path) -> None:
    first, second = tmp_path / "book.jsonl", tmp_path / "more.jsonl"
    past = [session(first), SOLD, Malformed(START, first.name, '{"no": 1}', "worded otherwise then"), session(second)]
    second.write_text(line(FUNDED))
    assert BookFile(second, past).fresh(START) == (FUNDED,)
    assert BookFile(second, [*past, FUNDED]).fresh(START) == ()
    second.write_text(line(SOLD) + '{"no": 1}\n' + line(FUNDED))
    assert BookFile(second, past).fresh(START) == (FUNDED,)


@pytest.mark.parametrize("count", [3_000])
def test_a_trade_with_an_id_counts_once_however_many_come_after_it(count: int) -> None:
    book, held = Book(), Holding("p", "BTC", "perpetual", Decimal(1))
    for number in range(count):
        before, book = book, book.traded(held, f"t-{number}")
    assert book.holdings["p"].units == count
    for number in range(count):
        with pytest.raises(Refused, match="repeats"):
            book.traded(held, f"t-{number}")
    assert before.traded(held, f"t-{count - 1}").holdings["p"].units == count, "the book before it has not heard of it"
    assert len(book.trades) <= count.bit_length(), "each id is copied a few times, not once a trade"
