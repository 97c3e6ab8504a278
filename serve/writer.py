"""The one that appends to a journal, each commit within a bounded time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select
from sqlalchemy.exc import SQLAlchemyError

from serve import schema
from serve.anchor import Anchor
from serve.bounded import Bounded
from serve.database import brief, honest
from serve.errors import JournalBroken, JournalError
from serve.lease import FileLease, server_lease
from serve.schema import ENTRIES

GENESIS = hashlib.sha256(b"rehedge journal 1").digest()
PATIENCE = 10.0  # seconds, beyond which a commit counts as stalled for good
ANCHORED_EVERY = 1_000  # entries

Link = tuple[int, bytes]  # an entry's number and chain value


def link(before: Link, body: bytes) -> Link:
    number = before[0] + 1
    return number, hashlib.sha256(before[1] + number.to_bytes(8) + body).digest()


def last(connection: Connection) -> Link:
    newest = select(func.max(ENTRIES.c.sequence)).scalar_subquery()
    row = connection.execute(select(ENTRIES.c.sequence, ENTRIES.c.chain).where(ENTRIES.c.sequence == newest)).first()
    return (0, GENESIS) if row is None else (int(row[0]), bytes(row[1]))


class Writer:
    def __init__(self, engine: Engine, name: str, file: Path | None, anchor: Anchor | None, patience: float) -> None:
        """`file`: SQLite's. Raises JournalError where another process writes, or the anchored head is not there."""
        self._name, self._anchor, self._anchored = name, anchor, 0
        self._bounded, self._patience = Bounded(patience), patience
        self._failed: JournalError | None = None
        self._held = ExitStack()
        try:
            if file is not None:
                self._held.callback(FileLease(file).release)
            self._held.callback(engine.dispose)
            self._connection = self._held.enter_context(engine.connect())
            self.head = self._opened(file is None)
            self._held.callback(self._anchor_now)
        except BaseException:
            self.close()
            raise

    def append(self, bodies: Sequence[bytes]) -> None:
        """All or none, on disk on return. Raises JournalError, once and then for ever.

        A commit that hangs may still happen: what it holds was not acted on.
        """
        if self._failed is not None:
            raise self._failed
        try:
            self._bounded.call(lambda: self._append(bodies))
        except SQLAlchemyError as error:
            self._failed = JournalError(f"{self._name}: cannot be written: {brief(error)}")
        except TimeoutError:
            self._failed = JournalError(f"{self._name}: cannot be written: no answer for {self._patience:g} s")
        if self._failed is not None:
            raise self._failed

    def close(self) -> None:
        """Gives the lease back, once the disk has answered; a commit that hangs keeps it until the process ends.

        Closing again does nothing.
        """
        if self._bounded.ended:
            return
        with suppress(TimeoutError):
            self._bounded.call(self._held.close)
        self._bounded.end()

    def _opened(self, server: bool) -> Link:
        with self._connection.begin():
            if server:
                server_lease(self._connection, self._name)
                honest(self._connection, self._name)
        with self._connection.begin():
            schema.upgraded(self._connection, self._name)
            self._unbroken()
            return last(self._connection)

    def _unbroken(self) -> None:
        """Raises JournalBroken where the anchored head is not in the journal."""
        known = None if self._anchor is None else self._anchor.read()
        if self._anchor is None or known is None or known == (0, GENESIS.hex()):
            return
        chain = self._connection.scalar(select(ENTRIES.c.chain).where(ENTRIES.c.sequence == known[0]))
        if chain is None or bytes(chain).hex() != known[1]:
            raise JournalBroken(
                f"{self._name}: entry {known[0]} of the head in {self._anchor.path} is missing: "
                "the journal was cut or rewritten; restore it"
            )

    def _append(self, bodies: Sequence[bytes]) -> None:
        rows: list[dict[str, Any]] = []
        head = self.head
        for body in bodies:
            head = link(head, body)
            rows.append({"sequence": head[0], "body": body, "chain": head[1]})
        with self._connection.begin():
            self._connection.execute(insert(ENTRIES), rows)
        self.head = head
        if head[0] - self._anchored >= ANCHORED_EVERY:
            self._anchor_now()

    def _anchor_now(self) -> None:
        self._anchored = self.head[0]
        if self._anchor is not None:
            self._anchor.write((self.head[0], self.head[1].hex()))
