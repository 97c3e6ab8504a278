"""Real prices and funding: the one loader, and its checks. Nothing is dropped or mended silently."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Container
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from envs.types import BadInput

DATA = Path(__file__).parent / "data"
SHIPPED_BARS = {"btc": "btc_spot_1h.csv.gz", "eth": "eth_spot_1h.csv.gz"}
SHIPPED_FUNDING = {"btc": "btc_funding_daily_mean.csv.gz"}
PRICES = ("open", "high", "low", "close")
MAX_LINES = 20

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Defects = list[tuple[str, Mask]]


@dataclass(frozen=True)
class Finding:
    """Something in good data that a person should know."""

    kind: str  # "gap" or "splice"
    time: pd.Timestamp  # of the bar after it
    detail: str


@dataclass(frozen=True)
class Bars:
    """Checked OHLCV bars, oldest first.

    `frame`: UTC DatetimeIndex `time`, the bar's start; float64 open, high, low, close, volume; bool splice; str venue.
    """

    name: str
    frame: pd.DataFrame
    bar_hours: float

    def log_returns(self) -> tuple[Array, Mask]:
        """Close-to-close log returns (n,) and which are usable (n,).

        NaN and False at the first bar, at a splice, and where the bar before is not exactly one bar earlier.
        """
        usable = ~self.frame["splice"].to_numpy(bool) & (_steps(self.frame.index) == self.bar_hours)
        log_price = np.log(self.frame["close"].to_numpy(np.float64))
        returns = np.diff(log_price, prepend=np.nan)
        return np.asarray(np.where(usable, returns, np.nan), dtype=np.float64), usable

    def window(self, first: str | pd.Timestamp, last: str | pd.Timestamp) -> Bars:
        """The bars that start from `first` to `last`, both included; a time without zone is UTC.

        Raises BadInput if there are none.
        """
        start, end = _utc(first), _utc(last)
        frame = self.frame.loc[(self.frame.index >= start) & (self.frame.index <= end)]
        if frame.empty:
            has = f"{self.frame.index[0]} to {self.frame.index[-1]}"
            raise BadInput(f"{self.name}: no bars from {start} to {end}; choose times within {has}")
        return replace(self, frame=frame)

    @property
    def sha256(self) -> str:
        """Of the times, prices, volumes and splices; hexadecimal."""
        digest = hashlib.sha256(_nanoseconds(self.frame.index).astype("<i8").tobytes())
        for column in (*PRICES, "volume"):
            digest.update(self.frame[column].to_numpy().astype("<f8").tobytes())
        digest.update(self.frame["splice"].to_numpy().astype("u1").tobytes())
        return digest.hexdigest()


def load_bars(path_or_name: str | Path) -> Bars:
    """The shipped bars "btc" or "eth", or those of a .csv, .csv.gz or .parquet file.

    Columns time (ISO 8601 with zone UTC) and close; optional open, high, low, volume, splice (0 or 1) and venue. A
    bar without its open opens at the close before, where there is one; without high or low nothing is known of what
    happened between open and close, so that margin calls are understated; without volume it is 0.
    Raises BadInput with one line for each bad row: file, row as an editor numbers it (the header is row 1), reason.
    """
    path = _locate(path_or_name, SHIPPED_BARS)
    raw = _read(path, ("time", "close"))
    times, defects = _times(raw["time"])
    splice = _numbers(raw["splice"]) if "splice" in raw else np.zeros(len(raw))
    bar_hours = _bar_hours(times)
    given = {column: _numbers(raw[column]) for column in (*PRICES, "volume") if column in raw}
    values = _filled(given, (splice == 0) & (_steps(times) == bar_hours))
    _refuse(path, defects + _price_defects(given, values, splice) + _order_defects(times, bar_hours))
    venue = raw["venue"].astype(str).to_numpy() if "venue" in raw else np.full(len(raw), "")
    if math.isnan(bar_hours):
        raise BadInput(f"{path}: only one row; a bar's length shows from two rows or more, add data")
    frame = pd.DataFrame({**values, "splice": splice == 1, "venue": venue}, index=times)
    return Bars(Path(path_or_name).name.split(".")[0], frame, bar_hours)


def integrity(bars: Bars) -> list[Finding]:
    """Gaps and splices in time order: good rows whose return from the row before is not used."""
    steps, venues = _steps(bars.frame.index), bars.frame["venue"].tolist()
    gaps = [
        Finding("gap", bars.frame.index[row], f"{round(steps[row] / bars.bar_hours) - 1} bars missing before it")
        for row in np.flatnonzero(steps > bars.bar_hours).tolist()
    ]
    splices = [
        Finding("splice", bars.frame.index[row], f"marked in the file; venue {venues[row - 1]} -> {venues[row]}")
        for row in np.flatnonzero(bars.frame["splice"]).tolist()
        if row > 0
    ]
    return sorted(gaps + splices, key=lambda finding: finding.time)


def load_funding(path_or_name: str | Path) -> pd.Series[float]:
    """Daily mean funding, as a rate per year paid by longs to shorts, by UTC day: the shipped "btc", or a file.

    Columns time and funding_mean (the mean of the day's three 8 h rates). Raises BadInput as `load_bars` does.
    """
    path = _locate(path_or_name, SHIPPED_FUNDING)
    raw = _read(path, ("time", "funding_mean"))
    times, defects = _times(raw["time"])
    rate = _numbers(raw["funding_mean"])
    _refuse(path, [*defects, ("funding_mean is not a finite number", ~np.isfinite(rate)), *_order_defects(times, 24.0)])
    return pd.Series(rate * 3 * 365, index=times.floor("D"), name="funding_rate")


def funding_at(funding: pd.Series[float], times: pd.DatetimeIndex, default: float) -> Array:
    """(n,) funding per year accrued on the UTC day of each of `times` (n,); `default` on days that `funding` lacks."""
    daily = funding.reindex(times.floor("D")).to_numpy(np.float64)
    return np.asarray(np.where(np.isnan(daily), default, daily), dtype=np.float64)


def _locate(path_or_name: str | Path, shipped: dict[str, str]) -> Path:
    if str(path_or_name) in shipped:
        return DATA / shipped[str(path_or_name)]
    path = Path(path_or_name)
    if not path.is_file():
        names = " or ".join(f'"{name}"' for name in shipped)
        raise BadInput(f"{path}: no such file; give {names}, or the path of a .csv, .csv.gz or .parquet file")
    return path


def _read(path: Path, required: tuple[str, ...]) -> pd.DataFrame:
    """The table as it stands, CSV cells as text; raises BadInput if unreadable, empty, or a column is missing."""
    try:
        raw = _parse(path)
    except (ValueError, OSError, EOFError) as error:
        reason = str(error).splitlines()[0].strip()
        raise BadInput(f"{path}: not readable as {path.suffix.lstrip('.')} ({reason}); mend or re-export it") from None
    missing = [column for column in required if column not in raw]
    if missing:
        raise BadInput(f"{path}: no column {', '.join(missing)}; the first row must name {', '.join(required)}")
    names = [str(column) for column in raw]
    if twice := [name[:-2] for name in names if name.endswith(".1") and name[:-2] in names]:  # as pandas renames them
        raise BadInput(f"{path}: column {', '.join(twice)} stands twice; remove one of the two")
    if raw.empty:
        raise BadInput(f"{path}: no rows below the header; add data")
    return raw


def _parse(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
        table = table.reset_index() if "time" not in table else table
        return table.set_axis(pd.RangeIndex(2, len(table) + 2))
    if path.name.endswith((".csv", ".csv.gz")):
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False)
        if not isinstance(table.index, pd.RangeIndex):
            raise ValueError("rows have more cells than the header")
        return table.set_axis(pd.RangeIndex(2, len(table) + 2))
    raise ValueError("its name must end in .csv, .csv.gz or .parquet")


def _times(column: pd.Series[str]) -> tuple[pd.DatetimeIndex, Defects]:
    """UTC times, NaT where unreadable, and the defects of each row's text; a typed column is read as its ISO text."""
    text = column.map(lambda value: value.isoformat() if hasattr(value, "isoformat") else str(value))
    times = pd.to_datetime(text, utc=True, errors="coerce", format="ISO8601")
    zone = text.str.extract(r"T?\d\d(?::?\d\d)*(?:\.\d+)?\s*(Z|[+-]\d\d(?::?\d\d)?)$", expand=False)
    clock = text.str.contains(":", regex=False)
    unreadable = times.isna().to_numpy()
    naive = ~unreadable & (zone.isna() | ~clock).to_numpy()
    foreign = ~unreadable & ~naive & ~zone.isin(["Z", "+00:00", "+0000", "+00"]).to_numpy()
    defects = [
        ("time is not ISO 8601; write it like 2024-01-31T05:00:00Z", unreadable),
        ("time has no zone; if it is UTC write a Z after it, like 2024-01-31T05:00:00Z", naive),
        ("time zone is not UTC; convert it and write it like 2024-01-31T05:00:00Z", foreign),
    ]
    return pd.DatetimeIndex(times, name="time"), defects


def _numbers(column: pd.Series[str]) -> Array:
    """(n,) float64, NaN where a cell is no number."""
    return pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)


def _filled(given: dict[str, Array], follows: Mask) -> dict[str, Array]:
    """All columns, in order; `follows` (n,) where a bar comes right after the one above."""
    close = given["close"]
    before = np.where(follows, np.roll(close, 1), close)
    opens = given.get("open", np.clip(before, given.get("low", 0.0), given.get("high", np.inf)))
    usual = {"open": opens, "high": np.maximum(opens, close), "low": np.minimum(opens, close), "close": close}
    return {**usual, "volume": np.zeros(len(close)), **given}


def _price_defects(given: Container[str], values: dict[str, Array], splice: Array) -> Defects:
    usable = {name: np.isfinite(values[name]) & (values[name] > 0) for name in PRICES}
    defects = [(f"{name} is not a positive number", ~good) for name, good in usable.items() if name in given]
    priced = np.logical_and.reduce(list(usable.values()))
    body = np.stack([values["open"], values["close"]])
    volume = values["volume"]
    return [
        *defects,
        ("low is above open or close", priced & (values["low"] > body.min(axis=0))),
        ("high is below open or close", priced & (values["high"] < body.max(axis=0))),
        ("volume is not a number from 0 up", ~(np.isfinite(volume) & (volume >= 0))),
        ("splice is neither 0 nor 1", ~np.isin(splice, (0.0, 1.0))),
    ]


def _order_defects(times: pd.DatetimeIndex, bar_hours: float) -> Defects:
    steps = _steps(times)
    early = f"time is less than one bar ({bar_hours:g} h) after the row above"
    return [
        ("time repeats the row above", steps == 0),
        ("time is earlier than the row above; sort the file by time", steps < 0),
        (early, (steps > 0) & (steps < bar_hours)),
    ]


def _refuse(path: Path, defects: Defects) -> None:
    """Raises BadInput if any row has a defect: a line for each (the first MAX_LINES, and how many more)."""
    found = sorted((int(row) + 2, reason) for reason, mask in defects for row in np.flatnonzero(mask))
    if not found:
        return
    lines = [f"{path}: row {row}: {reason}; correct or remove the row" for row, reason in found[:MAX_LINES]]
    more = len(found) - len(lines)
    raise BadInput("\n".join([*lines, *([f"{path}: and {more} more"] if more else [])]))


def _bar_hours(times: pd.DatetimeIndex) -> float:
    """The commonest positive step in hours; NaN if there is none."""
    steps = _steps(times)
    values, counts = np.unique(steps[steps > 0], return_counts=True)
    return float(values[counts.argmax()]) if len(values) else math.nan


def _steps(times: pd.Index) -> Array:
    """(n,) hours from the row before; NaN at the first row and beside an unreadable time."""
    seconds = pd.Series(pd.DatetimeIndex(times)).diff().dt.total_seconds()
    return np.asarray(seconds / 3600, dtype=np.float64)


def _nanoseconds(times: pd.Index) -> NDArray[np.int64]:
    return pd.DatetimeIndex(times).as_unit("ns").asi8


def _utc(time: str | pd.Timestamp) -> pd.Timestamp:
    try:
        stamp = pd.Timestamp(time)
    except ValueError:
        raise BadInput(f"{time!r}: not a time; write it like 2022-03-01 or 2022-03-01T05:00:00Z") from None
    return stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")
