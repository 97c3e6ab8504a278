"""What persons tell a running hedger: recorded durably by whoever may, in a table of its own, and answered once taken.

Beside an SQLite journal it is a file of its own, so that nobody who writes here can hold the journal up; on a server it
is a table of the journal's schema. A halt that nobody has answered is a latch: the hedger looks before every order.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.schema import CreateTable

from serve import codec
from serve.bounded import Bounded, T
from serve.database import brief, connected, file_of
from serve.errors import IdUsed, InboxError, JournalBroken
from serve.event import Event
from serve.instructions import Instruction as Instruction
from serve.instructions import Operator

PATIENCE = 2.0  # seconds that reading or writing may take
LONGEST = 64  # characters of an id
MAKING = 8_317_004_521  # the server's lock while the table is made
COMMANDS = Table(
    "commands",
    MetaData(),
    Column("number", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("id", String(LONGEST), nullable=False, unique=True),
    Column("action", String(32), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("answer", String),  # none until it is taken
)
WAITING = COMMANDS.c.answer.is_(None)


@dataclass(frozen=True)
class Waiting:
    """`told` is None where the body is no instruction, for the `fault`."""

    id: str
    told: Instruction | None
    body: bytes
    fault: str = ""


class Inbox:
    """Any number of processes may tell, one takes; each method raises InboxError where the database does not answer."""

    def __init__(self, journal: URL) -> None:
        file = file_of(journal)
        place = journal if file is None else journal.set(database=f"{file}.inbox")
        self._name = place.render_as_string() if file is None else f"{file}.inbox"
        self._engine, self._bounded = connected(place), Bounded(PATIENCE)
        self._called(_made)

    def tell(self, instruction: Instruction) -> str:
        """On disk on return: the id that its answer comes under. The same under an id told before is not told again.

        Raises IdUsed where that id was told for anything else.
        """
        name = instruction.command or uuid.uuid4().hex
        action = instruction.action if isinstance(instruction, Operator) else type(instruction).__name__
        told, body = codec.recorded(replace(instruction, command=name))
        row = {"id": name, "action": action, "body": body}
        try:
            self._called(lambda connection: connection.execute(insert(COMMANDS), row))
        except IntegrityError:
            self._same(name, told)
        return name

    def waiting(self) -> tuple[Waiting, ...]:
        """What has no answer yet, in the order of its telling."""
        query = select(COMMANDS.c.id, COMMANDS.c.body).where(WAITING).order_by(COMMANDS.c.number)
        rows = self._called(lambda connection: connection.execute(query).all())
        return tuple(_read(str(row[0]), bytes(row[1])) for row in rows)

    def halts(self) -> frozenset[str]:
        """The ids of the halts without an answer."""
        query = select(COMMANDS.c.id).where(WAITING, COMMANDS.c.action == "halt")
        return frozenset(self._called(lambda connection: connection.execute(query).scalars().all()))

    def answer(self, name: str, words: str) -> None:
        query = update(COMMANDS).where(COMMANDS.c.id == name, WAITING).values(answer=words)
        self._called(lambda connection: connection.execute(query))

    def answered(self, name: str) -> str | None:
        """None: nobody has taken it yet."""
        query = select(COMMANDS.c.answer).where(COMMANDS.c.id == name)
        return self._called(lambda connection: connection.execute(query).scalar())

    def close(self) -> None:
        self._bounded.end()
        self._engine.dispose()

    def _same(self, name: str, told: Event) -> None:
        """As was told under its id before, but for the time."""
        query = select(COMMANDS.c.body).where(COMMANDS.c.id == name)
        before = _read(name, bytes(self._called(lambda connection: connection.execute(query).scalar_one()))).told
        if before is None or replace(before, time=told.time) != told:
            raise IdUsed(f"id {name} was used for something else; nothing was told: choose another") from None

    def _called(self, work: Callable[[Connection], T]) -> T:
        """In a transaction of its own. After a failure the next call begins with a new connection."""
        try:
            return self._bounded.call(lambda: self._committed(work))
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            self._engine.dispose()
            raise InboxError(f"{self._name}: does not answer: {brief(error)}") from None
        except TimeoutError:
            self._bounded.end()
            self._bounded = Bounded(PATIENCE)
            self._engine.dispose()
            raise InboxError(f"{self._name}: does not answer for {PATIENCE:g} s") from None

    def _committed(self, work: Callable[[Connection], T]) -> T:
        with self._engine.begin() as connection:
            return work(connection)


def _made(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MAKING})
    connection.execute(CreateTable(COMMANDS, if_not_exists=True))


def _read(name: str, body: bytes) -> Waiting:
    try:
        told = codec.decode(body)
    except JournalBroken as error:
        return Waiting(name, None, body, str(error))
    if isinstance(told, Instruction) and told.command == name:
        return Waiting(name, told, body)
    return Waiting(name, None, body, f"a {type(told).__name__} is no instruction of a person")
