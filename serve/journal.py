"""The journal: append only, hash-chained over the stored bytes, durable when `append` returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic.util import CommandError
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from envs.types import BadInput
from serve import schema
from serve.anchor import Anchor, Head
from serve.database import brief, connected, file_of, located
from serve.errors import JournalBroken, JournalError
from serve.inbox import Inbox
from serve.schema import ENTRIES
from serve.writer import GENESIS, PATIENCE, Link, Writer, last, link

_PAGE = 1_000


@dataclass(frozen=True)
class Entry:
    sequence: int  # from 1, without gaps
    body: bytes
    chain: bytes


class Journal:
    """One writer at a time, and any number of readers beside it."""

    def __init__(
        self, url: str, readonly: bool = False, anchor: Path | None = None, patience: float = PATIENCE
    ) -> None:
        """`url`: SQLAlchemy's, or an SQLite file's path. A writer makes the journal, or brings its schema up to date.

        `anchor`: the file that keeps the head; beside an SQLite file there is always one. `patience`: seconds that a
        commit may take. Raises BadInput for what cannot be a journal, JournalError for one that another process
        writes or that cannot be opened, and JournalBroken for one that has lost its anchored head.
        """
        place = located(url)
        file = file_of(place)
        self.url = place.render_as_string(hide_password=True)
        self._place = place
        name = self.url if file is None else str(file)
        if readonly and file is not None and not file.exists():
            raise BadInput(f"{file}: no such journal; give the path of one that `rehedge serve` wrote")
        beside = anchor if anchor is not None or file is None else file.with_name(file.name + ".head")
        self._name, self._anchor = name, None if beside is None else Anchor(beside)
        self._engine = connected(place)
        try:
            self._writer = None if readonly else Writer(self._engine, name, file, self._anchor, patience)
            self._last = self._found() if self._writer is None else self._writer.head
        except (SQLAlchemyError, CommandError) as error:
            self._engine.dispose()
            raise JournalError(f"{name}: cannot be opened as a journal: {brief(error)}") from None
        except JournalError:
            self._engine.dispose()
            raise

    @property
    def head(self) -> Head:
        """Number and chain value of the last entry; a reader's is the last when it was opened."""
        number, chain = self._last if self._writer is None else self._writer.head
        return number, chain.hex()

    def append(self, bodies: Sequence[bytes]) -> None:
        """All or none, on disk on return. Raises JournalError, and after one no append succeeds."""
        if self._writer is None:
            raise JournalError(f"{self._name}: was opened for reading")
        self._writer.append(bodies)

    def read(self, after: int = 0) -> Iterator[Entry]:
        """Every entry past the number `after`, oldest first, by its stored bytes; the chain is not checked."""
        while rows := self._page(after):
            yield from (Entry(*row) for row in rows)
            after = rows[-1][0]

    def verify(self, head: Head | None = None) -> int:
        """The number of entries, all of them fitting the chain. Raises JournalBroken naming the first that does not.

        The head in the anchor's file must be found on the way, and so must a `head` kept elsewhere.
        """
        anchored = None if self._anchor is None else self._anchor.read()
        missing = {each for each in (head, anchored) if each is not None}
        at: Link = (0, GENESIS)
        missing.discard((0, GENESIS.hex()))
        for entry in self.read():
            at = link(at, entry.body)
            if (entry.sequence, entry.chain) != at:
                raise JournalBroken(f"entry {entry.sequence} does not fit the chain: it or one before it was altered")
            missing.discard((at[0], at[1].hex()))
        if missing:
            raise JournalBroken(f"entry {min(missing)[0]} of the anchored head is missing: it was cut or rewritten")
        return at[0]

    def inbox(self) -> Inbox:
        """What persons tell the one that writes this journal. Raises InboxError where it cannot be opened."""
        return Inbox(self._place)

    def close(self) -> None:
        """A writer gives its lease back."""
        if self._writer is not None:
            self._writer.close()
        self._engine.dispose()

    def _found(self) -> Link:
        with self._engine.connect() as connection:
            schema.checked(connection, self._name)
            return last(connection)

    def _page(self, after: int) -> Sequence[Any]:
        query = select(ENTRIES).where(ENTRIES.c.sequence > after).order_by(ENTRIES.c.sequence).limit(_PAGE)
        try:
            with self._engine.connect() as connection:
                return connection.execute(query).all()
        except SQLAlchemyError as error:
            raise JournalError(f"{self._name}: cannot be read: {brief(error)}") from None
