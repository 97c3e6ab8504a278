"""What comes beside the quotes, from a file: listed volatilities and the prices of independent sources."""

from __future__ import annotations

import ast
import json
from collections import Counter
from pathlib import Path

import pytest

from serve import bookfile, marketfile
from serve.clock import HOUR
from serve.codec import decode
from serve.config import ServeConfig
from serve.errors import FeedError
from serve.events import EVENTS, Event, Malformed, SourcePrice, SurfaceQuote, VenueTime
from serve.journal import Journal
from serve.lines import Lines
from serve.marketfile import MarketFile
from serve.runner import replayed
from serve.session import Source, run
from serve.state import State
from tests.serve.support import SPOT, START, quote, write_bars


def surface(at: int, volatility: float = 0.7) -> str:
    points = [[START + hours * HOUR, SPOT, volatility] for hours in (48, 720)]
    return json.dumps({"type": "SurfaceQuote", "asset": "BTC", "quoted_at": at, "points": points}) + "\n"


def price(at: int, source: str = "north", value: float = SPOT) -> str:
    told = {"type": "SourcePrice", "asset": "BTC", "source": source, "price": value, "quoted_at": at}
    return json.dumps(told) + "\n"


def test_whole_lines_come_once_whatever_they_are_made_of(tmp_path: Path) -> None:
    path = tmp_path / "market.jsonl"
    path.write_bytes(b"\xff\xfe\n\n{}\nhalf")
    lines = Lines(path)
    assert lines.new() == ["��", "{}"]
    assert lines.new() == []
    with path.open("a") as file:
        file.write(" a line\n")
    assert lines.new() == ["half a line"]
    with pytest.raises(FeedError, match="cannot be read"):
        Lines(tmp_path / "none").new()


@pytest.mark.parametrize("anew", ["c\n", "c\nd\n", "c\nd\ne\nf\n"])
def test_a_file_that_is_begun_anew_is_said_and_not_read_on(tmp_path: Path, anew: str) -> None:
    path = tmp_path / "market.jsonl"
    path.write_text("a\nb\n")
    lines = Lines(path)
    assert lines.new() == ["a", "b"]
    path.write_text("a\nb\nc\n")
    assert lines.new() == ["c"]
    path.write_text(anew)
    with pytest.raises(FeedError, match="was begun anew or cut"):
        lines.new()


@pytest.mark.parametrize("line", ["[" * 100_000, '{"a":' * 100_000])
def test_a_line_without_a_bottom_is_malformed(tmp_path: Path, line: str) -> None:
    path = tmp_path / "market.jsonl"
    path.write_text(line + "\n")
    (told,) = Lines(path).events(START, (SourcePrice,))
    assert isinstance(told, Malformed)
    assert "recursion" in told.reason


def test_a_live_line_is_told_at_once_and_what_is_none_is_malformed(tmp_path: Path, calm_state: State) -> None:
    path = tmp_path / "market.jsonl"
    path.write_text(surface(START) + '{"type": "Filled"}\n' + price(START + 2 * HOUR))
    told = MarketFile(path, after=0, paced=False).saw(quote(START + 5), calm_state)
    assert [type(each) for each in told] == [SurfaceQuote, Malformed, SourcePrice]
    assert {each.time for each in told} == {START + 5}
    assert MarketFile(path, after=START, paced=False).saw(quote(START + 5), calm_state) == told[1:]
    assert MarketFile(path, after=START, paced=False, past=told).saw(quote(START + 5), calm_state) == told[2:]


def test_a_recorded_line_waits_for_its_time(tmp_path: Path, calm_state: State) -> None:
    path = tmp_path / "market.jsonl"
    path.write_text(price(START) + price(START + HOUR, value=SPOT + 1))
    file = MarketFile(path, after=0, paced=True)
    assert len(file.saw(quote(START + 5), calm_state)) == 1
    assert file.saw(quote(START + HOUR - 1), calm_state) == ()
    (later,) = file.saw(quote(START + HOUR), calm_state)
    assert (later.time, getattr(later, "price", None)) == (START + HOUR, SPOT + 1)


def test_a_session_hears_the_market_beside_its_quotes_and_not_twice(settings: ServeConfig, tmp_path: Path) -> None:
    bars, path = str(write_bars(tmp_path / "bars.csv")), tmp_path / "market.jsonl"
    hours = [START + hour * HOUR for hour in range(1, 12)]
    path.write_text("".join(surface(at) + price(at) + price(at, "south") for at in hours))
    journal = Journal(str(tmp_path / "j.db"))
    for _ in range(2):  # the second takes the first one up
        core = run(settings, journal, Source((bars,), START, 1, market=path))
    replayed(journal)
    kinds = Counter(type(decode(entry.body)) for entry in journal.read())
    journal.close()
    assert (kinds[SurfaceQuote], kinds[SourcePrice]) == (11, 22)
    assert kinds[VenueTime] > 20
    assert core.state is not None
    assert not core.state.dropped
    assert core.state.venue.round_trip_ms == 0


def test_no_kind_of_event_is_without_a_producer() -> None:
    """Every one is built somewhere in serve/, or read from a file there."""
    built = {kind.__name__ for kind in (*bookfile.KINDS, *marketfile.KINDS)}
    for path in (Path(bookfile.__file__).parent).rglob("*.py"):
        calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
        built |= {call.func.id for call in calls if isinstance(call.func, ast.Name)}
    assert [kind.__name__ for kind in EVENTS if kind.__name__ not in built] == []
    assert all(issubclass(kind, Event) for kind in EVENTS)
