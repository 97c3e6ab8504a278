"""A PostgreSQL server of the tests' own: in a temporary folder, on a socket, for as long as they run."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
OPTIONS = "-c listen_addresses= -c max_connections=40 -c shared_buffers=16MB -c recovery_init_sync_method=syncfs"


class Server:
    def __init__(self, folder: Path, binaries: Path, prefix: tuple[str, ...]) -> None:
        self._folder, self._binaries, self._prefix = folder, binaries, prefix
        self._schemas = count(1)
        self.data = folder / "data"
        if not self.data.exists():
            self._run("initdb", "--auth=trust", "--username=rehedge", "--no-sync", f"--pgdata={self.data}")
        self.start()

    def start(self, extra: str = "") -> None:
        log = str(self._folder / "log")
        options = f"{extra} {OPTIONS} -k {self._folder}"
        self._run("pg_ctl", "--wait", "--pgdata", str(self.data), "--log", log, "-o", options, "start")

    def stop(self, mode: str) -> None:
        """`immediate`: every process of the server dies at once, and the next start recovers."""
        self._run("pg_ctl", "--wait", "--pgdata", str(self.data), "--mode", mode, "stop")

    @contextmanager
    def heir(self, data: Path) -> Iterator[Server]:
        """Another server that recovers from a copy of this one's files, which it takes for its own."""
        folder, owner = self._folder / data.name, self._folder.stat()
        folder.mkdir()
        os.chown(folder, owner.st_uid, owner.st_gid)
        data.rename(folder / "data")
        server = Server(folder, self._binaries, self._prefix)
        try:
            yield server
        finally:
            server.stop("immediate")
            shutil.rmtree(folder)

    def checkpoint(self) -> None:
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("CHECKPOINT")

    def asked(self, question: LiteralString) -> tuple[Any, ...]:
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            row = connection.execute(question).fetchone()
        assert row is not None
        return row

    def disconnect(self) -> None:
        """Every connection but the one that asks for it breaks."""
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )

    def fresh(self) -> str:
        """The URL of an empty schema."""
        name = f"journal_{next(self._schemas)}"
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        return f"{self.url}&options=-csearch_path%3D{name}"

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://rehedge@/postgres?host={self._folder}"

    def _run(self, name: str, *arguments: str) -> None:
        command = [*self._prefix, str(self._binaries / name), *arguments]
        done = subprocess.run(command, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 0, done.stderr


@contextmanager
def served() -> Iterator[Server]:
    """Skips where no server is installed; a server refuses to run as root, so it runs as the user postgres."""
    if not BINARIES:
        pytest.skip("no PostgreSQL server is installed under /usr/lib/postgresql")
    folder, prefix = Path(tempfile.mkdtemp(prefix="rehedge-pg-")), tuple[str, ...]()
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        prefix = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
    server = Server(folder, BINARIES[-1], prefix)
    try:
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(folder)
