"""A PostgreSQL server whose power fails: its files as of a checkpoint, and its log up to what was flushed by then.

The server says itself how far its log is flushed; of what it wrote to the log after that, nothing is left, or some of
the sectors. No other write since the checkpoint is left either, though some may have been flushed: recovery has to do
without them.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tests.serve.databases import Server

SECTOR = 512
LAZY = "-c wal_writer_delay=10s -c wal_writer_flush_after=1GB -c checkpoint_timeout=1h -c autovacuum=off"

Flushed = tuple[str, int]  # a file of the log, and the offset in it


class Checkpointed:
    """What a server has on disk from now on; it is to be started `LAZY`, so that only commits flush its log."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server, self._files = server, folder / "checkpoint"
        server.checkpoint()
        _copied(server.data, self._files)
        (self._files / "postmaster.pid").unlink()

    def flushed(self) -> Flushed:
        name, offset = self._server.asked("SELECT * FROM pg_walfile_name_offset(pg_current_wal_flush_lsn())")
        return str(name), int(offset)

    @contextmanager
    def after_cut(self, at: Flushed, fate: str, rng: np.random.Generator) -> Iterator[Server]:
        """A server that came up again; what was not flushed at `at` is `lost`, or `torn`."""
        data = self._files.with_name(f"cut-{at[0]}-{at[1]}-{fate}")
        _copied(self._files, data)
        shutil.rmtree(data / "pg_wal")
        _copied(self._server.data / "pg_wal", data / "pg_wal")
        for path in (data / "pg_wal").iterdir():
            if path.is_file() and path.name >= at[0]:
                _cut(path, at[1] if path.name == at[0] else 0, fate, rng)
        with self._server.heir(data) as heir:
            yield heir


def _cut(path: Path, start: int, fate: str, rng: np.random.Generator) -> None:
    with path.open("r+b") as file:
        held = bytearray(file.read())
        for begin in range(start, len(held), SECTOR):
            if fate == "lost" or rng.random() < 0.5:
                end = min(begin + SECTOR, len(held))
                held[begin:end] = bytes(end - begin)
        file.seek(0)
        file.write(held)


def _copied(source: Path, to: Path) -> None:
    subprocess.run(["cp", "--archive", str(source), str(to)], check=True)  # keeps the owner, who the server must be
