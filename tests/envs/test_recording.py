"""Histories side by side: the same times, joint usability, extremes since the close before, and whose funding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from envs import constant, recording
from envs.calibration import validated
from envs.history import funding_at, load_bars, load_funding
from envs.types import BadInput

BTC, ETH = (constant.calibration(constant.Venue(), 0.8, 0.05, 0.99, asset=name) for name in ("btc", "eth"))
CPU = torch.device("cpu")


def write(path: Path, first: str, closes: list[float], splices: tuple[int, ...] = (), hours: int = 1) -> str:
    index = pd.date_range(first, periods=len(closes), freq=f"{hours}h", tz="UTC")
    price = np.array(closes)
    rows = {"time": index.strftime("%Y-%m-%dT%H:%M:%SZ"), "open": price, "high": 1.01 * price, "low": 0.99 * price}
    frame = pd.DataFrame({**rows, "close": price, "volume": 1.0, "splice": 0})
    frame.loc[list(splices), "splice"] = 1
    frame.to_csv(path, index=False)
    return str(path)


@pytest.fixture
def pair(tmp_path: Path) -> recording.History:
    """Two files that share the six hours from 02:00; the second is spliced at 05:00."""
    one = write(tmp_path / "one.csv", "2023-01-01", [100, 101, 102, 103, 90, 105, 106, 107])
    two = write(tmp_path / "two.csv", "2023-01-01T02:00", [10, 11, 12, 20, 21, 22, 23], splices=(3,))
    return recording.History(assets=(BTC, ETH), histories=(one, two))


def test_assets_share_their_times(pair: recording.History) -> None:
    made = pair.recording(torch.float64, CPU)
    assert made.spot.tolist() == [[102, 10], [103, 11], [90, 12], [105, 20], [106, 21], [107, 22]]


def test_a_return_is_usable_where_it_is_for_every_asset(pair: recording.History) -> None:
    assert pair.recording(torch.float64, CPU).usable.tolist() == [False, True, True, False, True, True]


def test_extremes_reach_back_to_the_close_before(pair: recording.History) -> None:
    """A fall from 103 to 90 has its high at 103, above the bar's own 90.9; a rise from 90 its low at 90."""
    made = pair.recording(torch.float64, CPU)
    assert made.high[:4, 0].tolist() == pytest.approx([103.02, 104.03, 103, 106.05])
    assert made.low[:4, 0].tolist() == pytest.approx([100.98, 101.97, 89.1, 90])


def test_dates_choose_the_bars(pair: recording.History) -> None:
    chosen = pair.model_copy(update={"first": "2023-01-01T03:00", "last": "2023-01-01T04:00"})
    assert chosen.recording(torch.float32, CPU).spot.tolist() == [[103, 11], [90, 12]]


def test_a_missing_bar_makes_the_next_return_unusable(tmp_path: Path) -> None:
    """Of the other asset too."""
    whole = write(tmp_path / "whole.csv", "2023-01-01", [100.0] * 6)
    holed = Path(write(tmp_path / "holed.csv", "2023-01-01", [100.0] * 6))
    lines = holed.read_text().splitlines()
    holed.write_text("\n".join([*lines[:3], *lines[4:]]) + "\n")
    made = recording.History(assets=(BTC, ETH), histories=(whole, str(holed))).recording(torch.float64, CPU)
    assert made.usable.tolist() == [False, True, False, True, True]


def test_a_shipped_history_brings_its_funding_and_what_is_not_recorded_is_usual() -> None:
    dates = {"first": "2022-06-01", "last": "2022-06-03"}
    made = recording.History(assets=(BTC, ETH), **dates).recording(torch.float64, CPU)
    times = pd.DatetimeIndex(load_bars("btc").window(dates["first"], dates["last"]).frame.index)
    assert made.funding_rate[:, 0].tolist() == funding_at(load_funding("btc"), times, 0.0).tolist()
    assert made.funding_rate[:, 1].tolist() == [recording.usual(ETH)] * len(times)


def test_funding_of_a_file_is_used(tmp_path: Path) -> None:
    file = write(tmp_path / "one.csv", "2023-01-01", [100.0] * 3)
    (tmp_path / "f.csv").write_text("time,funding_mean\n2023-01-01T00:00:00Z,0.0001\n")
    history = recording.History(assets=(BTC,), histories=(file,), funding={file: str(tmp_path / "f.csv")})
    assert history.recording(torch.float64, CPU).funding_rate[:, 0].tolist() == pytest.approx([0.1095] * 3)


def test_bars_of_another_length_than_the_calibrations_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "slow.csv", "2023-01-01", [100.0] * 5, hours=4)
    with pytest.raises(BadInput, match="bars of 4 h, but the market was calibrated on bars of 1 h"):
        recording.History(assets=(BTC,), histories=(file,)).recording(torch.float64, CPU)


def test_histories_without_common_times_are_refused(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{n}.csv", f"2023-01-0{n}", [100.0] * 5) for n in (1, 2)]
    history = recording.History(assets=(BTC, ETH), histories=tuple(files))
    with pytest.raises(BadInput) as raised:
        history.recording(torch.float64, CPU)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"assets": []}, "assets"),
        ({"assets": [BTC], "histories": ["btc", "eth"]}, "2 entries for 1 assets"),
        ({"assets": [BTC], "funding": {"eth": "btc"}}, "funding names eth"),
    ],
)
def test_bad_settings_are_refused_in_one_line(raw: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message) as raised:
        validated(recording.History, raw, "market")
    assert len(str(raised.value).splitlines()) == 1
