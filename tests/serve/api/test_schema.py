"""Whatever is sent to the API, it answers as its schema says, and never by a failure of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Event as Signal
from threading import Thread

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from serve.api import app, tokens
from serve.api.guard import WINDOW, Guard
from serve.api.stream import Broadcast
from serve.clock import VirtualClock
from serve.errors import InboxError
from serve.inbox import Inbox
from serve.journal import Journal
from serve.mirror import Mirror
from tests.serve.support import START

EXAMPLES = 25  # of each operation
ENDLESS = "/v1/stream"
ANSWERS = {"none": {401}, "read": {200, 403}, "operate": {200, 403}, "release": {200}}  # that each scope surely gets


class Hasty(VirtualClock):
    """Nobody ever asks too often."""

    def now(self) -> int:
        self._now += WINDOW
        return self._now


@contextmanager
def answering(inbox: Inbox) -> Iterator[None]:
    """A hedger that takes whatever it is told."""
    done = Signal()

    def take() -> None:
        while not done.wait(0.01):
            with suppress(InboxError):  # on a machine that is busy it may not answer in time
                for each in inbox.waiting():
                    inbox.answer(each.id, "taken")

    thread = Thread(target=take)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("scope", ANSWERS)
def test_every_answer_is_one_that_the_schema_names(
    scope: str, mirrored: Mirror, issued: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    headers = {} if scope == "none" else {"Authorization": f"Bearer {issued[1][scope]}"}
    with closing(Journal(str(tmp_path / "j.db"))) as journal, closing(journal.inbox()) as inbox, answering(inbox):
        broadcast = Broadcast(mirrored, inbox, VirtualClock(START))
        broadcast.look()
        served = app.made(broadcast, Guard(tokens.load(issued[0]), Hasty(START)), ("testserver",))
        schema = schemathesis.openapi.from_asgi("/openapi.json", served)
        seen = set[int]()
        for operation in schema.get_all_operations():
            if operation.ok().path != ENDLESS:
                _tried(operation.ok(), headers, seen)
    assert not {code for code in seen if code >= 500}
    assert seen >= ANSWERS[scope]


def _tried(operation: schemathesis.schemas.APIOperation, headers: dict[str, str], seen: set[int]) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(case=operation.as_strategy())
    def check(case: schemathesis.Case) -> None:
        case.headers = {**{k: v for k, v in (case.headers or {}).items() if k.lower() != "authorization"}, **headers}
        reply = case.call_and_validate(excluded_checks=[schemathesis.checks.ignored_auth])
        seen.add(reply.status_code)

    check()
