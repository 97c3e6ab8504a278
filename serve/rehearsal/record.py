"""The rehearsal exchange on disk: its rules, then every command, each written before it acts.

One JSON line each, in one write: a kill leaves whole lines and at most one torn end, whose command never acted.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from envs.types import BadInput
from serve.rehearsal.exchange import Exchange
from serve.rehearsal.types import Command, Happening, Rules

_KINDS: dict[str, Any] = {kind.__name__: TypeAdapter(kind) for kind in (Rules, *get_args(Command))}


class Recorded:
    """An exchange that a kill does not touch."""

    def __init__(self, path: Path, rules: Rules) -> None:
        """Begins a record, or takes up where one ends.

        Raises BadInput for a record of other rules, one that is damaged before its end, or one in use.
        """
        self._file = path.open("a+b", buffering=0)
        try:
            self.commands = self._taken_up(path, rules)
        except BadInput:
            self.close()
            raise

    def apply(self, command: Command) -> tuple[Happening, ...]:
        self._write(command)
        self.commands += 1
        return self.exchange.apply(command)

    def close(self) -> None:
        self._file.close()

    def _taken_up(self, path: Path, rules: Rules) -> int:
        """How many commands there were."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"{path} is in use by another rehearsal; end that one, or give another file") from None
        self.exchange = Exchange(rules)
        lines = self._whole()
        if not lines:
            self._write(rules)
        elif _read(path, 1, lines[0]) != rules:
            raise BadInput(f"{path} records a rehearsal of other rules; give another file, or remove this one")
        for number, line in enumerate(lines[1:], 2):
            self.exchange.apply(_read(path, number, line))
        return max(len(lines) - 1, 0)

    def _whole(self) -> list[bytes]:
        """The lines that were written whole; a torn end is cut off."""
        self._file.seek(0)
        *lines, torn = self._file.read().split(b"\n")
        if torn:
            self._file.truncate(self._file.tell() - len(torn))
        return lines

    def _write(self, item: Rules | Command) -> None:
        text = json.dumps([type(item).__name__, _plain(item)], default=_plain, separators=(",", ":"))
        self._file.write(text.encode() + b"\n")


def replayed(path: Path, told: Callable[[Sequence[Happening]], None] = lambda happened: None) -> Exchange:
    """The exchange as a record leaves it, which is not changed; `told` hears what each command makes happen.

    Raises BadInput for one that is damaged.
    """
    first, *lines = path.read_bytes().split(b"\n")[:-1]
    exchange = Exchange(_read(path, 1, first))
    for number, line in enumerate(lines, 2):
        told(exchange.apply(_read(path, number, line)))
    return exchange


def _plain(item: Any) -> Any:
    return str(item) if isinstance(item, Decimal) else {each.name: getattr(item, each.name) for each in fields(item)}


def _read(path: Path, number: int, line: bytes) -> Any:
    try:
        kind, values = json.loads(line)
        return _KINDS[kind].validate_python(values)
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        said = str(error).splitlines()[0]
        raise BadInput(f"{path}, line {number}: no command ({said}); the record is damaged, remove it") from None
