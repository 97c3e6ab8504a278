"""A folder per training run: its settings, its metrics, its checkpoints, and in the end the model.

`run.json` holds the settings, `metrics.jsonl` a line per rollout, `tensorboard/` the same for TensorBoard.
"""

from __future__ import annotations

import fcntl
import json
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stable_baselines3.common.logger import KVWriter, Logger, TensorBoardOutputFormat

from agents.card import CARD
from envs.types import BadInput
from train.checkpoint import Checkpoints, atomic

RUN, OPPONENTS, METRICS = "run.json", "opponents.json", "metrics.jsonl"
EVERY = 30.0  # seconds between checkpoints
VERSIONED = ("rehedge", "torch", "numpy", "stable_baselines3")  # whose versions the same weights take


@dataclass(frozen=True)
class Run:
    folder: Path
    every: float  # seconds between checkpoints

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.folder / "checkpoints")

    @property
    def finished(self) -> bool:
        return (self.folder / CARD).is_file()

    @contextmanager
    def logger(self, steps: int) -> Iterator[Logger]:
        """That goes on from `steps` decisions: what a killed process wrote after them will be written again."""
        events = self.folder / "tensorboard"
        if steps == 0:
            shutil.rmtree(events, ignore_errors=True)
        board = TensorBoardOutputFormat(str(events))
        made = Logger(str(self.folder), [Lines(self.folder / METRICS, steps), board])
        try:
            yield made
        finally:
            made.close()


@contextmanager
def opened(folder: Path, settings: dict[str, Any], every: float = EVERY) -> Iterator[Run]:
    """The run of `settings` in `folder`, new or begun before, for this process alone.

    Raises BadInput, one line, where another run that has learned something or a model without a run is there, or
    another process is at it.
    """
    whole = json.loads(json.dumps({**settings, "versions": {name: version(name) for name in VERSIONED}}))
    if (folder / CARD).is_file() and not (folder / RUN).is_file():
        raise BadInput(f"{folder}: holds a model without the run that made it; give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"{folder}: another process trains there; wait for it, or give another folder") from None
        run = Run(folder, every)
        found = difference(stored(folder) if (folder / RUN).is_file() else {}, whole)
        if found and (run.finished or run.checkpoints.files()):
            name, old, new = found
            raise BadInput(f"{folder}: holds a run with {name} {old}, not {new}; give the same, or another folder")
        if found:
            (folder / OPPONENTS).unlink(missing_ok=True)
            atomic(folder / RUN, json.dumps(whole, indent=1).encode())
        yield run


def stored(folder: Path) -> dict[str, Any]:
    """The settings of the run there. Raises BadInput where there is none."""
    try:
        found: dict[str, Any] = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{folder / RUN}: no such file; give the folder of a run, or leave out --resume") from None
    except ValueError:
        raise BadInput(f"{folder / RUN}: not valid JSON; restore it, or give another folder") from None
    return found


def difference(one: Any, other: Any, name: str = "") -> tuple[str, str, str] | None:
    """The first place where two JSON values differ, with what stands there in each."""
    if isinstance(one, dict) and isinstance(other, dict):
        each = ((key, one.get(key), other.get(key)) for key in sorted({*one, *other}))
        found = (difference(a, b, f"{name}.{key}" if name else key) for key, a, b in each)
        return next((place for place in found if place is not None), None)
    return None if one == other else (name, json.dumps(one), json.dumps(other))


class Lines(KVWriter):
    """A JSON object per rollout, numbers that are not finite as null."""

    def __init__(self, path: Path, steps: int) -> None:
        kept = [line for line in _lines(path) if json.loads(line)["steps"] <= steps]
        atomic(path, "".join(f"{line}\n" for line in kept).encode())
        self.file = path.open("a", encoding="utf-8")

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        row = {name: value if math.isfinite(value) else None for name, value in sorted(key_values.items())}
        self.file.write(json.dumps({"steps": step, **row}) + "\n")
        self.file.flush()

    def close(self) -> None:
        self.file.close()


def _lines(path: Path) -> list[str]:
    """Whole ones: a killed process leaves the last in part."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return text.split("\n")[:-1]
