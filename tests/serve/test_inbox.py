"""What persons tell: recorded once, in order, from any number of processes, on either database."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert

from serve import codec
from serve.database import located
from serve.errors import IdUsed, InboxError
from serve.events import Heartbeat, Operator, TargetSet
from serve.inbox import COMMANDS, Inbox
from tests.serve.databases import Server
from tests.serve.support import START

HALT = Operator(START, "halt", "ann", "maintenance", "")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "j.db")
    server: Server = request.getfixturevalue("postgresql")
    return server.fresh()


def opened(url: str) -> Inbox:
    return Inbox(located(url))


def test_what_is_told_waits_in_order_until_it_is_answered(url: str) -> None:
    inbox, other = opened(url), opened(url)
    target = TargetSet(START, "BTC", 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, "bob", "mandate")
    first, second = inbox.tell(HALT), other.tell(target)
    told = [each.told for each in inbox.waiting()]
    assert told == [replace(HALT, command=first), replace(target, command=second)]
    assert inbox.halts() == {first}
    assert other.answered(first) is None
    inbox.answer(first, "taken")
    inbox.answer(first, "refused: an answer is given once")
    assert other.answered(first) == "taken"
    assert [each.id for each in other.waiting()] == [second]
    assert other.halts() == frozenset()
    inbox.close()
    other.close()


def test_the_same_id_is_not_told_twice(url: str) -> None:
    inbox = opened(url)
    name = inbox.tell(HALT)
    assert inbox.tell(replace(HALT, time=START + 5, command=name)) == name
    assert len(inbox.waiting()) == 1
    inbox.close()


def test_an_id_is_of_one_instruction_and_no_halt_is_lost_under_anothers(tmp_path: Path) -> None:
    inbox = opened(str(tmp_path / "j.db"))
    inbox.tell(replace(HALT, action="resume", command="20261122-01"))
    inbox.answer("20261122-01", "taken")
    with pytest.raises(IdUsed, match="id 20261122-01 was used for something else"):
        inbox.tell(replace(HALT, command="20261122-01"))
    inbox.close()


def test_a_reason_that_is_no_text_does_not_keep_a_halt_out(tmp_path: Path) -> None:
    inbox = opened(str(tmp_path / "j.db"))
    name = inbox.tell(replace(HALT, why="caf\udce9"))
    assert inbox.halts() == {name}
    assert [each.told and each.told.why for each in inbox.waiting()] == ["caf?"]
    inbox.close()


def test_two_operators_at_once_lose_nothing(url: str) -> None:
    told: list[str] = []

    def tells(who: str) -> None:
        inbox = opened(url)
        told.extend(inbox.tell(replace(HALT, who=who)) for _ in range(20))
        inbox.close()

    threads = [threading.Thread(target=tells, args=(who,)) for who in ("ann", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    inbox = opened(url)
    assert sorted(each.id for each in inbox.waiting()) == sorted(told)
    assert len(set(told)) == 40
    inbox.close()


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"\xff{", "no event or output"),
        (b"[" * 100_000, "no event or output"),
        (codec.encode(Heartbeat(START)), "a Heartbeat is no instruction of a person"),
        (codec.encode(replace(HALT, command="another")), "a Operator is no instruction"),
    ],
)
def test_a_body_that_is_no_instruction_is_handed_on_with_its_fault(body: bytes, fault: str, tmp_path: Path) -> None:
    inbox = opened(str(tmp_path / "j.db"))
    with inbox._engine.begin() as connection:
        connection.execute(insert(COMMANDS), {"id": "x", "action": "halt", "body": body})
    (found,) = inbox.waiting()
    assert found.told is None
    assert fault in found.fault
    inbox.close()


def test_a_full_disk_refuses_with_one_line_and_what_was_told_can_still_be_read(tmp_path: Path) -> None:
    inbox = opened(str(tmp_path / "j.db"))
    name = inbox.tell(HALT)
    inbox._engine.dispose()
    event.listen(inbox._engine, "connect", _full)
    with pytest.raises(InboxError, match=r"j\.db\.inbox: does not answer: database or disk is full"):
        inbox.tell(replace(HALT, why="x" * 50_000))
    assert inbox.halts() == {name}
    inbox.close()


def _full(connection: Any, _record: Any) -> None:
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages}")


@pytest.mark.slow
def test_a_server_that_goes_and_comes_back_is_found_again(postgresql: Server) -> None:
    inbox = opened(postgresql.fresh())
    name = inbox.tell(HALT)
    postgresql.stop("immediate")
    with pytest.raises(InboxError, match="does not answer"):
        inbox.halts()
    postgresql.start()
    assert inbox.halts() == {name}
    inbox.close()
