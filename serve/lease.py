"""One writer per journal. Who dies gives its lease back: the kernel or the server sees to it."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import IO

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from serve.errors import JournalError

PATIENCE = "2s"  # for the server to notice that the last writer died


class FileLease:
    """A lock on a file beside the journal, that tells who holds it."""

    def __init__(self, file: Path) -> None:
        """Raises JournalError where another holds it, or where the file cannot be made."""
        self._beside = _locked(file)

    def release(self) -> None:
        self._beside.close()


def server_lease(connection: Connection, name: str) -> None:
    """The server's advisory lock, for as long as this very connection lives: what it writes later is fenced with it.

    Raises JournalError where another holds it.
    """
    schema = str(connection.execute(text("SELECT current_schema()")).scalar())
    key = int.from_bytes(hashlib.sha256(f"rehedge journal {schema}".encode()).digest()[:8], signed=True)
    try:
        connection.execute(text(f"SET LOCAL lock_timeout = '{PATIENCE}'"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != "55P03":  # lock_not_available
            raise
        raise JournalError(f"{name}: another process writes this journal; stop that one first") from None


def _locked(file: Path) -> IO[str]:
    try:
        beside = file.with_name(file.name + ".lock").open("a+", encoding="ascii")
    except OSError as error:
        raise JournalError(f"{file}: cannot be locked for writing ({error.strerror})") from None
    try:
        fcntl.flock(beside, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        beside.seek(0)
        holder = beside.read().strip()
        beside.close()
        raise JournalError(f"{file}: process {holder} writes this journal; stop that one first") from None
    beside.truncate(0)
    beside.write(f"{os.getpid()}\n")
    beside.flush()
    return beside
