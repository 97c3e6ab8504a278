from __future__ import annotations

from pathlib import Path

import pytest

from envs.types import BadInput
from serve.clock import HOUR, SECOND, VirtualClock, parse, show
from serve.errors import FeedError
from serve.events import Malformed, QuoteEvent
from serve.feed import Bar, Follow, QuoteModel, Replay, read_bars, split, walk
from serve.market import Market
from tests.serve.support import ASSETS, LEGS, SPOT, START, task, write_bars

CLOSES = (SPOT,) * 5


def model() -> QuoteModel:
    return QuoteModel(Market(task(), ASSETS, LEGS), "BTC", CLOSES)


def test_a_bar_walks_its_low_and_high_in_the_order_that_fits() -> None:
    rose, fell = Bar(0, 10, 13, 9, 12), Bar(0, 12, 13, 9, 10)
    assert [price for _, price in walk(rose, HOUR)] == [10, 9, 13, 12]
    assert [price for _, price in walk(fell, HOUR)] == [12, 13, 9, 10]
    assert [time for time, _ in walk(rose, HOUR)] == [SECOND, HOUR // 3, 2 * HOUR // 3, HOUR]


def test_replay_waits_for_its_time_and_ends() -> None:
    clock = VirtualClock(START)
    feed = Replay([[Bar(START, 10, 13, 9, 12)]], [model()], clock, HOUR)
    assert feed.next(START) is None
    times = []
    while not feed.ended:
        quote = feed.next(START + HOUR)
        assert quote is not None
        times.append(quote.time - START)
        assert clock.now() == quote.time
    assert times == [SECOND, HOUR // 3, 2 * HOUR // 3, HOUR]


def test_quotes_are_modelled_and_move_with_the_bars_alone() -> None:
    quotes = model()
    first, second = quotes.quote(START, SPOT), quotes.quote(START + 1, SPOT * 0.9)
    assert first.implied_volatility == second.implied_volatility > 0
    quotes.closed(SPOT * 0.9)
    assert quotes.quote(START + 2, SPOT * 0.9).half_spread > first.half_spread


def test_following_reads_whole_lines_as_they_come(tmp_path: Path) -> None:
    file, clock = tmp_path / "ticks.csv", VirtualClock(START)
    file.write_text(f"time,spot,half_spread\n{show(START)},20000,0.001\n{show(START)},200")
    feed = Follow(file, {"BTC": model()}, clock, HOUR, stop_at=START + HOUR)
    tick = feed.next(START + 10 * SECOND)
    assert isinstance(tick, QuoteEvent)
    assert (tick.spot, tick.half_spread, tick.mark) == (20_000.0, 0.001, 20_000.0)
    assert feed.next(START + 10 * SECOND) is None
    assert clock.now() == START + 10 * SECOND
    with file.open("a") as more:
        more.write("10,\n")
    tick = feed.next(START + 20 * SECOND)
    assert isinstance(tick, QuoteEvent)
    assert (tick.spot, tick.time, tick.quoted_at) == (20_010.0, START + 10 * SECOND, START)
    assert feed.next(START + 2 * HOUR) is None
    assert feed.ended


@pytest.mark.parametrize(
    "line",
    ["noon,20000", f"{show(START)},-1", f"{show(START)},nan", "20000", f'"{show(START)},20000', "9" * 140_000 + ",1"],
)
def test_what_is_no_tick_is_told_and_the_next_read(tmp_path: Path, line: str) -> None:
    file = tmp_path / "ticks.csv"
    file.write_text(f"time,spot,asset\n{line}\n{show(START)},20000,BTC\n{show(START)},1500,ETH\n")
    feed = Follow(file, {"BTC": model()}, VirtualClock(START), HOUR)
    wrong, right, foreign = (feed.next(START + 1) for _ in range(3))
    assert isinstance(wrong, Malformed)
    assert (wrong.source, wrong.reason[:7]) == ("ticks.csv", "no tick")
    assert isinstance(right, QuoteEvent)
    assert isinstance(foreign, Malformed)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match="cannot be read"):
        Follow(tmp_path / "none.csv", {"BTC": model()}, VirtualClock(START), HOUR).next(START + 1)


def test_split_takes_history_before_the_start(tmp_path: Path) -> None:
    bars = read_bars(str(write_bars(tmp_path / "bars.csv")))
    closes, window = split(bars, START, 24, 30, HOUR)
    assert (len(closes), len(window), window[0].start) == (31, 24, START)
    assert closes[-1] == pytest.approx(window[0].open)


@pytest.mark.parametrize(("first", "count"), [(START + 1, 24), (START - 59 * HOUR, 24), (START, 900)])
def test_split_refuses_what_the_record_lacks(tmp_path: Path, first: int, count: int) -> None:
    with pytest.raises(BadInput, match="choose another start"):
        split(read_bars(str(write_bars(tmp_path / "bars.csv"))), first, count, 30, HOUR)


def test_split_refuses_a_gap(tmp_path: Path) -> None:
    bars = read_bars(str(write_bars(tmp_path / "bars.csv")))
    del bars[70]
    with pytest.raises(BadInput, match="gap"):
        split(bars, START, 24, 30, HOUR)


def test_times_read_and_show() -> None:
    assert parse("2023-01-01") == parse("2023-01-01T00:00:00Z") == parse("2023-01-01T01:00:00+01:00")
    assert show(parse("2023-01-01T02:03:04Z")) == "2023-01-01 02:03:04"
