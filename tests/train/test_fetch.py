"""Fetching: whatever the road, the same bytes; what the exchange lacks or repeats is told."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from envs.history import load_bars, load_funding
from envs.types import BadInput
from train.fetch import Fetched, fetched
from train.venue_history import HOUR, Page, Request, Row, VenueHistory

FIRST = 1_735_689_600_000  # 2025-01-01
BARS = Request("deribit", "BTC/USDC:USDC", "bars", "1h", FIRST, FIRST + 48 * HOUR)
FUNDING = Request("deribit", "BTC/USDC:USDC", "funding", "1h", FIRST, FIRST + 72 * HOUR)
PAGE = 7 * HOUR


def bar(time: int) -> Row:
    price = 60_000 + time // HOUR % 97
    return (time, price, price + 10.5, price - 3.25, price + 1, 0.1)


class Exchange:
    """Pages of seven hours; fails at the page that begins at `fails_at`."""

    def __init__(self, rows: list[Row], last: int, fails_at: int | None = None) -> None:
        self.rows, self.last, self.fails_at, self.asked = rows, last, fails_at, list[int]()

    def pages(self, since: int) -> Iterator[Page]:
        while since < self.last:
            self.asked.append(since)
            if since == self.fails_at:
                raise ConnectionError("gone")
            until = min(since + PAGE, self.last)
            yield until, tuple(row for row in self.rows if since <= cast(float, row[0]) < until)
            since = until


def fetch(out: Path, request: Request, exchange: Exchange) -> Fetched:
    return fetched(request, lambda: cast(VenueHistory, exchange), out)


def test_what_is_written_is_what_the_project_reads(tmp_path: Path) -> None:
    rows = [bar(FIRST + k * HOUR) for k in range(48)]
    told = fetch(tmp_path / "btc.csv", BARS, Exchange(rows, BARS.last))
    bars = load_bars(tmp_path / "btc.csv")
    columns = bars.frame[["open", "high", "low", "close", "volume"]].to_numpy()
    assert np.array_equal(columns, np.array([row[1:] for row in rows]))
    assert [time.timestamp() * 1000 for time in bars.frame.index] == [row[0] for row in rows]
    assert (told.rows, told.missing, told.duplicates, told.gaps) == (48, 0, 0, ())
    assert os.listdir(tmp_path) == ["btc.csv"]


def test_cut_at_any_byte_it_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    rows = [bar(FIRST + k * HOUR) for k in range(48)]
    fetch(tmp_path / "whole.csv", BARS, Exchange(rows, BARS.last))
    whole = (tmp_path / "whole.csv").read_bytes()
    with pytest.raises(ConnectionError):
        fetch(tmp_path / "cut.csv", BARS, Exchange(rows, BARS.last, fails_at=FIRST + 3 * PAGE))
    part = (tmp_path / "cut.csv.part").read_bytes()
    marks = [FIRST + k * PAGE for k in range(1, 4)]
    for length in range(0, len(part) + 1, 29):
        (tmp_path / "cut.csv.part").write_bytes(part[:length])
        (tmp_path / "cut.csv").unlink(missing_ok=True)
        exchange = Exchange(rows, BARS.last)
        fetch(tmp_path / "cut.csv", BARS, exchange)
        assert (tmp_path / "cut.csv").read_bytes() == whole
        known = [mark for mark in marks if f"@{mark}\n".encode() in part[:length]]
        assert exchange.asked[0] == max(known, default=FIRST)


def test_gaps_and_repeats_are_told(tmp_path: Path) -> None:
    rows = [bar(FIRST + k * HOUR) for k in range(48) if k not in (20, 21, 47)]
    told = fetch(tmp_path / "btc.csv", BARS, Exchange(sorted([*rows, *rows[3:5]]), BARS.last))
    assert (told.rows, told.missing, told.duplicates) == (45, 3, 2)
    (gap,) = told.gaps
    assert (str(gap.time), gap.detail) == ("2025-01-01 22:00:00+00:00", "2 bars missing before it")


@pytest.mark.parametrize(("every", "jitter"), [(8, 3), (1, 31)])
def test_funding_is_told_as_the_mean_of_rates_of_eight_hours(tmp_path: Path, every: int, jitter: int) -> None:
    rows: list[Row] = [(FIRST + k * HOUR + jitter, 1e-6 * k * every) for k in range(0, 72, every)]
    told = fetch(tmp_path / "funding.csv", FUNDING, Exchange(rows, FUNDING.last))
    days = [sum(1e-6 * k * every for k in range(24 * d, 24 * d + 24, every)) / 3 for d in range(3)]
    rates = load_funding(tmp_path / "funding.csv").to_numpy()
    assert np.allclose(rates, np.array(days) * 3 * 365, rtol=1e-14, atol=0)
    assert (told.rows, told.missing) == (3, 0)


def test_a_day_whose_funding_is_not_known_whole_is_missing(tmp_path: Path) -> None:
    rows: list[Row] = [(FIRST + k * HOUR, 1e-4) for k in range(0, 72, 8) if k != 32]
    told = fetch(tmp_path / "funding.csv", FUNDING, Exchange(rows, FUNDING.last))
    assert (told.rows, told.missing) == (2, 1)
    assert [str(day.date()) for day in load_funding(tmp_path / "funding.csv").index] == ["2025-01-01", "2025-01-03"]


def test_what_is_in_the_way_is_refused_in_a_line(tmp_path: Path) -> None:
    rows = [bar(FIRST + k * HOUR) for k in range(48)]
    out = tmp_path / "btc.csv"
    out.write_text("mine")
    with pytest.raises(BadInput, match="is there already; remove it"):
        fetch(out, BARS, Exchange(rows, BARS.last))
    out.unlink()
    part = tmp_path / "btc.csv.part"
    part.write_text(json.dumps({"exchange": "okx"}) + "\n")
    with pytest.raises(BadInput, match="is of another request"):
        fetch(out, BARS, Exchange(rows, BARS.last))
    part.unlink()
    with pytest.raises(BadInput, match="deribit has no bars of BTC/USDC:USDC in that time"):
        fetch(out, BARS, Exchange([], BARS.last))
    assert not os.listdir(tmp_path)


def test_two_at_once_do_not_write_one_file(tmp_path: Path) -> None:
    rows = [bar(FIRST + k * HOUR) for k in range(48)]
    out = tmp_path / "btc.csv"

    class Meanwhile(Exchange):
        def pages(self, since: int) -> Iterator[Page]:
            with pytest.raises(BadInput, match="is being written by another fetch"):
                fetch(out, BARS, Exchange(rows, BARS.last))
            return super().pages(since)

    assert fetch(out, BARS, Meanwhile(rows, BARS.last)).rows == 48
