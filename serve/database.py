"""Where a journal is stored: SQLite in a file, or PostgreSQL by URL; durable when a commit returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from envs.types import BadInput
from serve.errors import JournalError

DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
SQLITE = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA busy_timeout=2000")
POSTGRESQL = (  # a writer whose machine is gone loses its lock within half a minute
    "SET synchronous_commit TO on",
    "SET tcp_keepalives_idle TO 10",
    "SET tcp_keepalives_interval TO 5",
    "SET tcp_keepalives_count TO 3",
)


def located(text: str) -> URL:
    """Of a URL or an SQLite file's path. Raises BadInput for any other database."""
    try:
        url = make_url(text) if "://" in text else URL.create("sqlite", database=text)
    except ArgumentError:
        raise BadInput(f"{text}: not a URL; write postgresql://user@host/database, or an SQLite file's path") from None
    backend = url.get_backend_name()
    if backend not in DRIVERS or not url.database:
        raise BadInput(f"{url}: a journal is a file of SQLite or a database of PostgreSQL; name one")
    return url.set(drivername=DRIVERS[backend])


def file_of(url: URL) -> Path | None:
    return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None


def connected(url: URL) -> Engine:
    """Every connection with the settings that make a commit durable, and with transactions that hold DDL too."""
    engine = create_engine(url)
    sqlite = engine.dialect.name == "sqlite"

    @event.listens_for(engine, "connect")
    def _set(connection: Any, _record: Any) -> None:
        if sqlite:
            connection.isolation_level = None  # the driver would begin late, and leave out DDL
        cursor = connection.cursor()
        for statement in SQLITE if sqlite else POSTGRESQL:
            cursor.execute(statement)
        cursor.close()
        connection.commit()

    if sqlite:
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine


def honest(connection: Connection, name: str) -> None:
    """Raises JournalError for a server that does not put its commits on disk."""
    if connection.dialect.name == "postgresql" and connection.exec_driver_sql("SHOW fsync").scalar() != "on":
        raise JournalError(f"{name}: the server runs with fsync off, so that nothing is durable; turn it on")


def brief(error: Exception) -> str:
    """Its first line, without the statement."""
    return str(getattr(error, "orig", None) or error).splitlines()[0]
