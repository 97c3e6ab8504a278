"""A journal's head, kept in a file of its own: a tail that was cut or rewritten shows only against it."""

from __future__ import annotations

import os
from pathlib import Path

from envs.types import BadInput
from serve.errors import JournalError

Head = tuple[int, str]  # an entry's number and chain value, hexadecimal


def parsed(text: str, where: str) -> Head:
    """Of NUMBER:HEX. Raises BadInput."""
    number, _, chain = text.strip().partition(":")
    if not (number.isdigit() and len(chain) == 64):
        raise BadInput(f"{where}: not NUMBER:HEX; give it as `rehedge journal verify` printed it")
    return int(number), chain


class Anchor:
    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Head | None:
        """None where there is none yet. Raises BadInput for a file that holds something else."""
        try:
            return parsed(self.path.read_text(encoding="ascii", errors="replace"), str(self.path))
        except FileNotFoundError:
            return None

    def write(self, head: Head) -> None:
        """On disk on return, the old one or the new one at every moment. Raises JournalError."""
        fresh = self.path.with_name(self.path.name + ".new")
        try:
            with fresh.open("w", encoding="ascii") as file:
                file.write(f"{head[0]}:{head[1]}\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        except OSError as error:
            raise JournalError(f"{self.path}: cannot be written ({error.strerror})") from None
