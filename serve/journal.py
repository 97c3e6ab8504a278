"""The journal: append only, hash-chained over the stored bytes, durable when `append` returns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    create_engine,
    event,
    func,
    insert,
    make_url,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from envs.types import BadInput
from serve.errors import JournalBroken, JournalError

_METADATA = MetaData()
_ENTRIES = Table(
    "entries",
    _METADATA,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
    Column("chain", LargeBinary, nullable=False),
)
GENESIS = hashlib.sha256(b"rehedge journal 1").digest()
_PAGE = 1_000


@dataclass(frozen=True)
class Entry:
    sequence: int  # from 1, without gaps
    body: bytes
    chain: bytes


class Journal:
    """One writer at a time: a second one's append fails on the sequence number."""

    def __init__(self, url: str, create: bool = True) -> None:
        """`url`: SQLAlchemy's, or an SQLite file's path. Raises BadInput for a missing file unless `create`."""
        self.url = url if "://" in url else f"sqlite:///{url}"
        file = make_url(self.url).database
        if not create and self.url.startswith("sqlite") and file is not None and not Path(file).exists():
            raise BadInput(f"{file}: no such journal; give the path of one that `rehedge serve` wrote")
        self._engine = create_engine(self.url)
        try:
            _durable(self._engine)
            if create:
                _METADATA.create_all(self._engine)
            self._sequence, self._chain = self._last()
        except SQLAlchemyError as error:
            self.close()
            raise JournalError(f"{url}: cannot be opened as a journal: {_brief(error)}") from None

    @property
    def head(self) -> tuple[int, str]:
        """Number and chain value of the last entry, to be kept elsewhere: a cut tail shows only against it."""
        return self._sequence, self._chain.hex()

    def append(self, bodies: Sequence[bytes]) -> None:
        """All or none, on disk on return. Raises JournalError."""
        rows, sequence, chain = [], self._sequence, self._chain
        for body in bodies:
            sequence, chain = sequence + 1, _link(chain, sequence + 1, body)
            rows.append({"sequence": sequence, "body": body, "chain": chain})
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(_ENTRIES), rows)
        except SQLAlchemyError as error:
            raise JournalError(f"{self.url}: cannot be written: {_brief(error)}") from None
        self._sequence, self._chain = sequence, chain

    def read(self) -> Iterator[Entry]:
        """Every entry, oldest first, by its stored bytes; the chain is not checked."""
        after = 0
        while rows := self._page(after):
            yield from (Entry(*row) for row in rows)
            after = rows[-1][0]

    def verify(self, head: tuple[int, str] | None = None) -> int:
        """The number of entries, all of them fitting the chain. Raises JournalBroken naming the first that does not.

        With a `head` kept elsewhere it must be found on the way.
        """
        chain, count = GENESIS, 0
        found = head is None or head == (0, GENESIS.hex())
        for entry in self.read():
            count += 1
            chain = _link(chain, count, entry.body)
            if entry.sequence != count or entry.chain != chain:
                raise JournalBroken(f"entry {entry.sequence} does not fit the chain: it or one before it was altered")
            found = found or head == (count, chain.hex())
        if head is not None and not found:
            raise JournalBroken(f"entry {head[0]} of the anchored head is missing: the journal was cut or rewritten")
        return count

    def close(self) -> None:
        self._engine.dispose()

    def _page(self, after: int) -> Sequence[Any]:
        query = select(_ENTRIES).where(_ENTRIES.c.sequence > after).order_by(_ENTRIES.c.sequence).limit(_PAGE)
        try:
            with self._engine.connect() as connection:
                return connection.execute(query).all()
        except SQLAlchemyError as error:
            raise JournalError(f"{self.url}: cannot be read: {_brief(error)}") from None

    def _last(self) -> tuple[int, bytes]:
        last = select(func.max(_ENTRIES.c.sequence)).scalar_subquery()
        with self._engine.connect() as connection:
            row = connection.execute(
                select(_ENTRIES.c.sequence, _ENTRIES.c.chain).where(_ENTRIES.c.sequence == last)
            ).first()
        return (0, GENESIS) if row is None else (int(row[0]), bytes(row[1]))


def _link(chain: bytes, sequence: int, body: bytes) -> bytes:
    return hashlib.sha256(chain + sequence.to_bytes(8) + body).digest()


def _durable(engine: Engine) -> None:
    """SQLite: a commit is on disk when it returns, and readers do not stop the writer."""
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def _set(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=2000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


def _brief(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
