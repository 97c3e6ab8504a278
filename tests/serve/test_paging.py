"""Who is told what, how often: by a clock that is told to move."""

from __future__ import annotations

from serve.clock import SECOND
from serve.commands import Alert, Transition
from serve.events import Operator
from serve.paging import Message, Pager, Rules, Severity
from tests.serve.support import START

RULES = Rules(silent_seconds=60, fence_seconds=120, repeat_seconds=600)
REPEAT = 600 * SECOND


def moved(after: str, breaker: str = "price_jump") -> Transition:
    return Transition(START, breaker, "ACTIVE", after, after, "spot fell")


def told(pager: Pager, now: int) -> list[Message]:
    found = pager.due(now)
    for message in found:
        pager.told(message, now)
    return found


def test_a_trouble_is_told_once_and_again_while_it_lasts() -> None:
    pager = Pager(RULES)
    pager.heard([moved("REDUCING"), Alert(START, "price_jump takes REDUCING: spot fell")], START)
    (message,) = told(pager, START)
    assert message.severity is Severity.WARNING
    assert "price_jump takes REDUCING: spot fell" in message.text
    assert not told(pager, START + REPEAT - 1)
    assert told(pager, START + REPEAT) == [message]
    pager.heard([moved("ACTIVE")], START + REPEAT)
    assert [each.severity for each in told(pager, START + REPEAT)] == [Severity.INFO]
    assert not told(pager, START + 9 * REPEAT)


def test_a_breaker_that_comes_and_goes_does_not_page_each_time() -> None:
    pager, heard = Pager(RULES), 0
    for k in range(20):
        pager.heard([moved("REDUCING"), moved("ACTIVE")][k % 2 : k % 2 + 1], START + k * SECOND)
        heard += len(told(pager, START + k * SECOND))
    assert heard == 2, "its trip and its end"
    pager.heard([moved("HALTED")], START + 20 * SECOND)
    assert [each.severity for each in told(pager, START + 20 * SECOND)] == [Severity.CRITICAL]
    pager.heard([moved("ACTIVE"), moved("HALTED")], START + 21 * SECOND)
    assert [each.severity for each in told(pager, START + 21 * SECOND)] == [Severity.CRITICAL], "never kept quiet"


def test_what_could_not_be_sent_stays_due_the_most_urgent_first() -> None:
    pager = Pager(RULES)
    pager.heard([Operator(START, "resume", "ann", "back", ""), moved("HALTED", "clock_step"), moved("REDUCING")], START)
    assert [each.key for each in pager.due(START)] == ["clock_step", "price_jump", "resume "]
    assert pager.due(START + SECOND) == pager.due(START)


def test_an_alert_that_no_transition_tells_is_told() -> None:
    pager = Pager(RULES)
    pager.heard([Alert(START, "order x-1 is not ours")], START)
    assert [each.text for each in told(pager, START)] == ["order x-1 is not ours"]


def test_silence_is_critical_once_and_its_end_is_told() -> None:
    pager = Pager(RULES)
    for second in (0, 59, 60, 61, 200):
        pager.silence(second * SECOND, START + second * SECOND)
        found = told(pager, START + second * SECOND)
        assert [each.severity for each in found] == ([Severity.CRITICAL] if second == 60 else [])
    pager.silence(0, START + 201 * SECOND)
    assert [each.text for each in told(pager, START + 201 * SECOND)] == ["the hedger writes again"]
    pager.silence(SECOND, START + 202 * SECOND)
    assert not told(pager, START + 900 * SECOND)
