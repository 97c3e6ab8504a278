"""The watchdog beside a journal: it pages over a webhook, and what has fallen silent is fenced."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from envs.types import BadInput
from serve import codec
from serve.clock import SECOND, VirtualClock
from serve.commands import Transition
from serve.errors import ServeError
from serve.events import Heartbeat, Operator
from serve.journal import Journal
from serve.paging import Message, Pager, Rules, Severity
from serve.watchdog import Services, Watchdog
from tests.serve.processes import private, webhook
from tests.serve.support import START

RULES = Rules(silent_seconds=60, fence_seconds=120, repeat_seconds=600)


class Noted:
    """Takes messages, or is away."""

    def __init__(self) -> None:
        self.away, self.messages = False, list[Message]()

    def send(self, message: Message) -> bool:
        if not self.away:
            self.messages.append(message)
        return not self.away


def test_a_silent_hedger_is_paged_fenced_once_and_heard_again(tmp_path: Path) -> None:
    clock, sender = VirtualClock(START), Noted()
    with closing(Journal(str(tmp_path / "j.db"))) as journal, closing(journal.inbox()) as inbox:
        dog = Watchdog(journal, inbox, Pager(RULES), sender, clock, grew_at=START)
        for second in range(0, 300, 30):
            clock.wait_until(START + second * SECOND)
            dog.look()
        (page,) = sender.messages
        assert (page.key, page.severity) == ("silence", Severity.CRITICAL)
        (waiting,) = inbox.waiting()
        assert isinstance(waiting.told, Operator)
        assert (waiting.told.action, waiting.told.who) == ("halt", "watchdog")
        assert inbox.halts(), "no order leaves a hedger that wakes"
        journal.append([codec.encode(Heartbeat(START))])
        dog.look()
        assert sender.messages[-1].text == "the hedger writes again"


class Exchange:
    """Where orders rest, and perhaps nobody answers."""

    def __init__(self, resting: int, away: bool) -> None:
        self.resting, self.away = resting, away

    def cancel(self) -> int:
        if self.away:
            raise ServeError("away")
        found, self.resting = self.resting, 0
        return found

    def close(self) -> None: ...


def test_one_exchange_that_does_not_answer_keeps_no_other_from_being_cancelled(tmp_path: Path) -> None:
    clock, places = VirtualClock(START), (Exchange(2, away=True), Exchange(3, away=False))
    with closing(Journal(str(tmp_path / "j.db"))) as journal, closing(journal.inbox()) as inbox:
        dog = Watchdog(journal, inbox, Pager(RULES), Noted(), clock, grew_at=START, connections=places)
        clock.wait_until(START + 200 * SECOND)
        dog.look()
        assert ([each.resting for each in places], dog.quiet) == ([2, 0], False)
        dog.look()
        assert not dog.quiet
        places[0].away = False
        dog.look()
        dog.look()
        assert ([each.resting for each in places], dog.quiet) == ([0, 0], True)


def test_what_cannot_be_sent_is_tried_again(tmp_path: Path) -> None:
    clock, sender = VirtualClock(START), Noted()
    with closing(Journal(str(tmp_path / "j.db"))) as journal, closing(journal.inbox()) as inbox:
        dog = Watchdog(journal, inbox, Pager(RULES), sender, clock, grew_at=START)
        trip = Transition(START, "loss", "ACTIVE", "REDUCING", "REDUCING", "lost 60,000")
        journal.append([codec.encode(trip)])
        sender.away = True
        dog.look()
        sender.away = False
        dog.look()
        dog.look()
        assert [each.key for each in sender.messages] == ["loss"]


def test_a_webhook_gets_the_words(tmp_path: Path) -> None:
    with webhook() as (url, got):
        file = private(tmp_path / "urls", f"# the desk\n{url}\n")
        assert Services(file).send(Message("loss", Severity.CRITICAL, "loss takes HALTED"))
    assert (got[0]["message"], got[0]["title"], got[0]["type"]) == ("loss takes HALTED", "Rehedge critical", "failure")


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [("", 0o600, "names nobody"), ("nonsense", 0o600, "line 1"), ("json://localhost", 0o644, "others may read it")],
)
def test_a_file_of_services_that_is_none_is_refused(text: str, mode: int, words: str, tmp_path: Path) -> None:
    file = tmp_path / "urls"
    file.touch(0o600)
    file.write_text(text)
    file.chmod(mode)
    with pytest.raises(BadInput, match=words) as refused:
        Services(file)
    assert text == "" or text not in str(refused.value), "a URL may hold a password"
