"""The commands as processes, and what they leave behind."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import IO, TypeVar

from envs.types import BadInput
from serve import codec
from serve.clock import SECOND, RealClock
from serve.errors import JournalError
from serve.journal import Journal

ROOT = Path(__file__).parents[2]
PATIENCE = 120 * SECOND
T = TypeVar("T")


@dataclass
class Process:
    popen: subprocess.Popen[bytes]
    log: Path  # of both its streams

    def said(self) -> str:
        return self.log.read_text(errors="replace")


@contextmanager
def running(log: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Process]:
    """`rehedge` with `arguments`, asked to end when the block does."""
    with log.open("wb") as out, _started(out, arguments, environment) as popen:
        process = Process(popen, log)
        try:
            yield process
        finally:
            popen.terminate()
            popen.wait(60)
    assert "Traceback" not in process.said(), process.said()


def _started(
    out: IO[bytes], arguments: tuple[str, ...], environment: Mapping[str, str] | None
) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ROOT / "rehedge.py"), *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, env={**os.environ, **(environment or {})})


def until(holds: Callable[[], bool], patience: int = PATIENCE) -> None:
    clock = RealClock()
    end = clock.now() + patience
    while not holds():
        assert clock.now() < end, "waited in vain"
        clock.wait_until(clock.now() + SECOND // 20)


def found(journal: Path, kind: type[T]) -> list[T]:
    with closing(Journal(str(journal), readonly=True)) as kept:
        items = [codec.decode(entry.body) for entry in kept.read()]
    return [each for each in items if isinstance(each, kind)]


def entries(journal: Path) -> int:
    """So many it has; none before it is there."""
    try:
        with closing(Journal(str(journal), readonly=True)) as kept:
            return kept.head[0]
    except (BadInput, JournalError):
        return 0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def listening(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Apprise's URL of one on loopback, and what it got."""
    got = list[dict[str, str]]()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"json://127.0.0.1:{server.server_port}/", got
        server.shutdown()


def private(path: Path, text: str) -> Path:
    """A file that only its owner reads."""
    path.touch(0o600)
    path.write_text(text)
    return path
