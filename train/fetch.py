"""History on its way from an exchange into a file that `envs/history.py` reads: kept page by page, then written whole.

Beside the file grows OUT.part: what was asked, then rows, and after each page a line `@` with the time up to which all
is known. A part that was cut anywhere is taken up after its last such line, so that every road leads to the same bytes.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from io import BufferedRandom
from pathlib import Path

import numpy as np

from envs.history import Finding, integrity, load_bars, load_funding
from envs.types import BadInput
from train.venue_history import HOUR, Request, Row, VenueHistory

DAY = 24 * HOUR
HEADS = {"bars": "time,open,high,low,close,volume", "funding": "time,funding_mean"}
RATES_A_DAY = 3  # of eight hours: what `funding_mean` is the mean of


@dataclass(frozen=True)
class Fetched:
    """What a file holds, and what it lacks of what was asked."""

    out: str
    rows: int
    first: str
    last: str
    missing: int  # bars, or days of which some funding is unknown, between the times that were asked for
    duplicates: int  # rows that the exchange gave twice
    gaps: tuple[Finding, ...]


def fetched(
    request: Request,
    source: Callable[[], VenueHistory],
    out: Path,
    progress: Callable[[float], None] = lambda share: None,
) -> Fetched:
    """The request's history in the file `out`; `progress` hears which share of its time is there.

    Raises BadInput for an `out` that is there already, a part of another request, and an exchange without any of it;
    Failed where the exchange cannot be asked, after which the same call goes on.
    """
    if out.exists():
        raise BadInput(f"{out} is there already; remove it, or choose another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    path = out.with_name(out.name + ".part")
    with taken_up(path, request) as part:
        if part.known < request.last:
            for until, page in source().pages(part.known):
                part.add(until, page)
                progress((until - request.first) / (request.last - request.first))
        rows = part.rows()
        if not rows:
            os.remove(path)
            raise BadInput(f"{request.exchange} has no {request.what} of {request.symbol} in that time; choose another")
        unique = {row[0]: row for row in rows}
        lines = _bars(unique) if request.what == "bars" else _daily(unique)
        _written(out, [HEADS[request.what], *lines])
        os.remove(path)
    return _told(request, out, len(rows) - len(unique))


@contextmanager
def taken_up(path: Path, request: Request) -> Iterator[Part]:
    """Raises BadInput where another request's part is in the way, or another process writes it."""
    with open(path, "a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"{path} is being written by another fetch; wait for it, or choose another --out") from None
        yield Part(file, request)


class Part:
    """The file that grows, and up to which time all is known."""

    def __init__(self, file: BufferedRandom, request: Request) -> None:
        """Without what follows the last page that came whole. Raises BadInput for another request's."""
        self._file, self.known, head = file, request.first, json.dumps(asdict(request)) + "\n"
        file.seek(0)
        kept = file.read().decode()
        if "\n" in kept and not kept.startswith(head):
            raise BadInput(f"{file.name} is of another request; remove it, or ask for the same again")
        marks = [line for line in kept.splitlines(keepends=True) if line.startswith("@") and line.endswith("\n")]
        if marks:
            self.known = int(marks[-1][1:])
            file.truncate(kept.rindex(marks[-1]) + len(marks[-1]))
        else:
            file.truncate(0)
            self._append(head)

    def add(self, until: int, rows: Iterable[Row]) -> None:
        """A page, on the disk when this returns."""
        text = "".join(f"{','.join(map(_text, row))}\n" for row in rows)
        self._append(f"{text}@{until}\n")

    def rows(self) -> list[list[str]]:
        """All, in the order in which they came."""
        self._file.seek(0)
        lines = self._file.read().decode().splitlines()[1:]
        return [line.split(",") for line in lines if not line.startswith("@")]

    def _append(self, text: str) -> None:
        self._file.write(text.encode())
        self._file.flush()
        os.fsync(self._file.fileno())


def _bars(unique: dict[str, list[str]]) -> list[str]:
    times = sorted(unique, key=int)
    return [",".join([_time(int(time)), *unique[time][1:]]) for time in times]


def _daily(unique: dict[str, list[str]]) -> list[str]:
    """What each day paid, as the mean of three rates of eight hours; days with fewer payments than usual are out."""
    days: dict[int, dict[int, float]] = {}
    for time, rate in unique.values():
        hour = round(int(time) / HOUR)
        days.setdefault(hour // 24, {})[hour] = float(rate)
    counts, often = np.unique([len(paid) for paid in days.values()], return_counts=True)
    usual = counts[often.argmax()]
    whole = {day: sum(paid.values()) for day, paid in sorted(days.items()) if len(paid) >= usual}
    return [f"{_time(day * DAY)},{_text(total / RATES_A_DAY)}" for day, total in whole.items()]


def _written(out: Path, lines: list[str]) -> None:
    """Whole or not at all."""
    draft = out.with_name(out.name + ".draft")
    with open(draft, "w") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, out)


def _told(request: Request, out: Path, duplicates: int) -> Fetched:
    """Of the file as the project reads it. Raises BadInput where it would not."""
    if request.what == "bars":
        bars = load_bars(out)
        index, step, gaps = bars.frame.index, bars.bar_hours, tuple(integrity(bars))
    else:
        index, step, gaps = load_funding(out).index, 24.0, ()
    whole = (request.last - request.first) // round(step * HOUR)
    return Fetched(str(out), len(index), str(index[0]), str(index[-1]), whole - len(index), duplicates, gaps)


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.15g}"
