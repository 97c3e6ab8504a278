"""A day on paper with a crash in it, and what stands beside its journal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread

import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient

from serve.api import app, tokens
from serve.api.command import Server
from serve.api.guard import Guard
from serve.api.stream import Broadcast
from serve.clock import VirtualClock
from serve.config import ServeConfig
from serve.inbox import Inbox
from serve.journal import Journal
from serve.mirror import Mirror
from serve.session import Source, run
from tests.serve.support import START, write_bars


@pytest.fixture(scope="session")
def recorded(settings: ServeConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal's file."""
    folder = tmp_path_factory.mktemp("recorded")
    bars = str(write_bars(folder / "bars.csv", jump_at=75))
    with closing(Journal(str(folder / "j.db"))) as journal:
        run(settings, journal, Source((bars,), START, 1))
    return folder / "j.db"


@pytest.fixture(scope="session", autouse=True)
def quick_hashes() -> Iterator[None]:
    """What a hash costs is looked at by one test alone."""
    with pytest.MonkeyPatch.context() as patched:
        cheap = partial(PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)
        patched.setattr(tokens, "PasswordHasher", cheap)
        yield


@contextmanager
def listening(server: Server) -> Iterator[int]:
    """Its port, while it runs in a thread."""
    thread = Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@dataclass
class Beside:
    """A dashboard's parts on a copy of the journal."""

    file: Path
    journal: Journal
    inbox: Inbox
    mirror: Mirror
    broadcast: Broadcast
    clock: VirtualClock
    secrets: dict[str, str]  # tokens by scope
    client: TestClient

    def get(self, path: str, scope: str = "read") -> object:
        """The JSON of an answer that must be 200."""
        reply = self.client.get(path, headers=self.bearing(scope))
        assert reply.status_code == 200, reply.text
        return reply.json()

    def bearing(self, scope: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secrets[scope]}"}


@pytest.fixture(scope="session")
def mirrored(recorded: Path) -> Iterator[Mirror]:
    """Of the whole day; only to be looked at."""
    with closing(Journal(str(recorded), readonly=True)) as journal:
        mirror = Mirror(journal)
        mirror.advance(10**9)
        yield mirror


@pytest.fixture
def beside(recorded: Path, issued: tuple[Path, dict[str, str]], tmp_path: Path) -> Iterator[Beside]:
    """A dashboard with tokens, before its first look."""
    for file in recorded.parent.glob("j.db*"):
        shutil.copy(file, tmp_path)
    file, clock = tmp_path / "j.db", VirtualClock(START)
    path, secrets = issued
    with closing(Journal(str(file), readonly=True)) as journal, closing(journal.inbox()) as inbox:
        yield _beside(file, journal, inbox, Mirror(journal), secrets, Guard(tokens.load(path), clock))


@pytest.fixture
def shown(beside: Beside, mirrored: Mirror, issued: tuple[Path, dict[str, str]]) -> Beside:
    """After a look at the whole journal."""
    guard = Guard(tokens.load(issued[0]), beside.clock)
    looked = _beside(beside.file, beside.journal, beside.inbox, mirrored, beside.secrets, guard)
    looked.broadcast.look()
    return looked


def _beside(
    file: Path, journal: Journal, inbox: Inbox, mirror: Mirror, secrets: dict[str, str], guard: Guard
) -> Beside:
    assert isinstance(guard.clock, VirtualClock)
    broadcast = Broadcast(mirror, inbox, guard.clock)
    client = TestClient(app.made(broadcast, guard), base_url="http://127.0.0.1")
    return Beside(file, journal, inbox, mirror, broadcast, guard.clock, secrets, client)


@pytest.fixture(scope="session")
def issued(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A file of tokens, and the tokens by scope."""
    path = tmp_path_factory.mktemp("tokens") / "tokens.toml"
    return path, {scope: tokens.issued(path, f"{scope}er", scope) for scope in ("read", "operate", "release")}
