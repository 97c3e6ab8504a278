"""The loader refuses what is wrong, row by row, and uses no return across a gap or a splice."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import history
from envs.history import funding_at, integrity, load_bars, load_funding
from envs.types import BadInput

HEADER = "time,open,high,low,close,volume,venue,splice"


def rows(count: int) -> list[str]:
    """Good hourly rows; the first is row 2 of the file."""
    return [f"2024-01-01T{hour:02d}:00:00Z,100,102,99,10{hour % 2},5,a,0" for hour in range(count)]


def written(path: Path, lines: list[str], header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def refusal(path: Path, lines: list[str]) -> list[str]:
    with pytest.raises(BadInput) as caught:
        load_bars(written(path, lines))
    return str(caught.value).splitlines()


@pytest.mark.parametrize(("name", "count", "unused"), [("btc", 68_693, 4), ("eth", 26_278, 2)])
def test_shipped_bars_load_clean(name: str, count: int, unused: int) -> None:
    bars = load_bars(name)
    returns, usable = bars.log_returns()
    assert (bars.name, len(bars.frame), bars.bar_hours) == (name, count, 1.0)
    assert (~usable).sum() == unused
    assert np.isnan(returns).sum() == unused


def test_shipped_gaps_and_splices_are_found() -> None:
    found = [(finding.kind, str(finding.time.date())) for finding in integrity(load_bars("btc"))]
    assert found == [
        ("splice", "2018-05-15"),
        ("gap", "2022-04-29"),
        ("splice", "2022-04-29"),
        ("gap", "2023-03-24"),
        ("splice", "2023-03-24"),
    ]


def test_funding_is_per_year_and_defaults_where_there_is_none() -> None:
    funding = load_funding("btc")
    assert funding.iloc[0] == pytest.approx(0.0001 * 1095)
    times = pd.DatetimeIndex(["2019-09-09T23:00Z", "2019-09-10T00:00Z", "2019-09-10T23:00Z"])
    assert funding_at(funding, times, 0.5) == pytest.approx([0.5, 0.1095, 0.1095])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2024-01-01T01:00:00Z,100,99,98,100,5,a,0", "high is below"),
        ("2024-01-01T01:00:00Z,100,102,101,102,5,a,0", "low is above"),
        ("2024-01-01T01:00:00Z,0,102,99,100,5,a,0", "open is not a positive number"),
        ("2024-01-01T01:00:00Z,100,102,-1,100,5,a,0", "low is not a positive number"),
        ("2024-01-01T01:00:00Z,100,inf,99,100,5,a,0", "high is not a positive number"),
        ("2024-01-01T01:00:00Z,100,102,99,nan,5,a,0", "close is not a positive number"),
        ("2024-01-01T01:00:00Z,100,102,99,,5,a,0", "close is not a positive number"),
        ("2024-01-01T01:00:00Z,100,102,99,100,-5,a,0", "volume"),
        ("2024-01-01T01:00:00Z,100,102,99,100,5,a,2", "splice is neither 0 nor 1"),
        ("2024-01-01T01:00:00,100,102,99,100,5,a,0", "no zone"),
        ("2024-01-01,100,102,99,100,5,a,0", "no zone"),
        ("2024-01-01T02:00:00+01:00,100,102,99,100,5,a,0", "zone is not UTC"),
        ("1704070800,100,102,99,100,5,a,0", "not ISO 8601"),
        ("2024-01-01T00:00:00Z,100,102,99,100,5,a,0", "repeats"),
        ("2023-12-31T00:00:00Z,100,102,99,100,5,a,0", "earlier"),
        ("2024-01-01T00:30:00Z,100,102,99,100,5,a,0", "less than one bar"),
        ("", "not ISO 8601"),
    ],
)
def test_a_bad_row_is_refused_with_file_row_and_reason(tmp_path: Path, row: str, reason: str) -> None:
    good, path = rows(6), tmp_path / "mine.csv"
    lines = refusal(path, [good[0], row, *good[2:]])
    assert lines[0].startswith(f"{path}: row 3: ")
    assert any(reason in line for line in lines)


def test_every_bad_row_has_its_line_and_long_lists_are_capped(tmp_path: Path) -> None:
    bad = [row.replace(",102,", ",1,") for row in rows(24)]
    lines = refusal(tmp_path / "mine.csv", bad)
    assert len(lines) == history.MAX_LINES + 1
    assert lines[-1].endswith("and 4 more")


@pytest.mark.parametrize(
    ("header", "line", "reason"),
    [
        ("time,open,high,low,volume", "2024-01-01T00:00:00Z,1,1,1,1", "no column close"),
        ("close,volume", "1,1", "no column time"),
        ("time,close,open,close", "2024-01-01T00:00:00Z,1,1,2", "column close stands twice; remove one"),
        ("time,close", "2024-01-01T00:00:00Z,1", "only one row; a bar's length shows from two"),
        (HEADER, "2024-01-01T00:00:00Z,1,1,1,1,1,a,0,9", "more cells than the header"),
    ],
)
def test_a_table_of_the_wrong_shape_is_refused(tmp_path: Path, header: str, line: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        load_bars(written(tmp_path / "mine.csv", [line], header))


def test_what_a_file_lacks_is_filled_from_its_closes(tmp_path: Path) -> None:
    """An open is the close before, but not across a gap or a splice; extremes are those of open and close."""
    closes = {0: 100, 1: 103, 2: 101, 4: 99, 5: 98}
    lines = [f"2024-01-01T{hour:02d}:00:00Z,{close},{int(hour == 5)}" for hour, close in closes.items()]
    bars = load_bars(written(tmp_path / "mine.csv", lines, "time,close,splice"))
    found = {name: bars.frame[name].tolist() for name in ("open", "high", "low", "close", "volume")}
    assert found == {
        "open": [100, 100, 103, 99, 98],
        "high": [100, 103, 103, 99, 98],
        "low": [100, 100, 101, 99, 98],
        "close": [100, 103, 101, 99, 98],
        "volume": [0] * 5,
    }


def test_a_filled_open_keeps_within_the_extremes_given(tmp_path: Path) -> None:
    """A price that jumped between two bars is no contradiction in the file."""
    lines = ["2024-01-01T00:00:00Z,101,99,100", "2024-01-01T01:00:00Z,98,96,97", "2024-01-01T02:00:00Z,99,98,98"]
    frame = load_bars(written(tmp_path / "mine.csv", lines, "time,high,low,close")).frame
    assert frame["open"].tolist() == [100, 98, 98]


def test_extremes_are_filled_from_opens_and_a_bad_close_is_told_once(tmp_path: Path) -> None:
    good = ["2024-01-01T00:00:00Z,100,101", "2024-01-01T01:00:00Z,102,100", "2024-01-01T02:00:00Z,100,99"]
    frame = load_bars(written(tmp_path / "mine.csv", good, "time,open,close")).frame
    assert (frame["high"].tolist(), frame["low"].tolist()) == ([101, 102, 100], [100, 100, 99])
    with pytest.raises(BadInput) as caught:
        load_bars(written(tmp_path / "mine.csv", [good[0], good[1][:-3] + "nan", good[2]], "time,open,close"))
    assert str(caught.value).endswith("row 3: close is not a positive number; correct or remove the row")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["none.csv", "mine.txt", "torn.csv.gz", "empty.csv", "bare.csv"])
def test_an_unreadable_file_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine.txt").write_text("x")
    (tmp_path / "torn.csv.gz").write_bytes(gzip.compress(HEADER.encode() * 99)[:-12])
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "bare.csv").write_text(HEADER + "\n")
    with pytest.raises(BadInput) as caught:
        load_bars(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_parquet_and_gzip_hold_the_same_content_as_csv(tmp_path: Path) -> None:
    plain = load_bars(written(tmp_path / "mine.csv", rows(9)))
    (tmp_path / "mine.csv.gz").write_bytes(gzip.compress((tmp_path / "mine.csv").read_bytes()))
    plain.frame.reset_index().to_parquet(tmp_path / "mine.parquet")
    assert load_bars(tmp_path / "mine.csv.gz").sha256 == plain.sha256
    assert load_bars(tmp_path / "mine.parquet").sha256 == plain.sha256


def test_naive_parquet_times_are_refused(tmp_path: Path) -> None:
    frame = load_bars(written(tmp_path / "mine.csv", rows(3))).frame
    frame.tz_localize(None).to_parquet(tmp_path / "mine.parquet")
    with pytest.raises(BadInput, match="row 2: time has no zone"):
        load_bars(tmp_path / "mine.parquet")


@given(dropped=st.sets(st.integers(1, 22), max_size=5), spliced=st.sets(st.integers(0, 23)))
def test_only_returns_from_the_bar_before_are_usable(
    tmp_path_factory: pytest.TempPathFactory, dropped: set[int], spliced: set[int]
) -> None:
    kept = [hour for hour in range(24) if hour not in dropped]
    lines = [rows(24)[hour][:-1] + str(int(hour in spliced)) for hour in kept]
    bars = load_bars(written(tmp_path_factory.mktemp("bars") / "mine.csv", lines))
    _, usable = bars.log_returns()
    steps = np.diff(kept, prepend=-99)
    expected = [step == bars.bar_hours and hour not in spliced for hour, step in zip(kept, steps, strict=True)]
    assert usable.tolist() == expected


def test_a_window_sees_no_return_from_before_it() -> None:
    window = load_bars("eth").window("2023-01-01", "2023-01-02")
    returns, usable = window.log_returns()
    assert len(window.frame) == 25
    assert usable.tolist() == [False] + [True] * 24
    assert window.sha256 != load_bars("eth").window("2023-01-01", "2023-01-03").sha256
    assert np.isfinite(returns[1:]).all()


def test_an_empty_window_names_what_there_is() -> None:
    with pytest.raises(BadInput, match="choose times within 2022-04-29"):
        load_bars("eth").window("2019-01-01", "2019-02-01")
