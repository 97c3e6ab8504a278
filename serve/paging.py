"""What a person is told, how urgently, and how often again: rules alone, without a clock or a network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from envs.calibration import Positive, Section
from serve.clock import SECOND
from serve.commands import Alert, Flat, Output, Transition
from serve.events import Event, Operator

SILENCE = "silence"


class Severity(IntEnum):
    INFO = 0
    WARNING = 1
    CRITICAL = 2


OF_STATE = {
    "ACTIVE": Severity.INFO,
    "FALLBACK": Severity.WARNING,
    "REDUCING": Severity.WARNING,
    "HALTED": Severity.CRITICAL,
}


class Rules(Section):
    silent_seconds: Positive  # without an entry in the journal, after which the hedger is taken for dead
    fence_seconds: Positive  # of silence after which it is halted, so that nothing leaves if it wakes
    repeat_seconds: Positive  # until a trouble that lasts is told again


@dataclass(frozen=True)
class Message:
    key: str
    severity: Severity
    text: str


@dataclass
class _Trouble:
    message: Message
    lasts: bool  # told again while it does
    told_at: int | None = None
    more: int = 0  # times that it came again since


@dataclass
class Pager:
    """Each trouble once, again at most every so often while it lasts, and its end once."""

    rules: Rules
    _troubles: dict[str, _Trouble] = field(default_factory=dict)
    _told: dict[tuple[str, Severity], int] = field(default_factory=dict)  # when last

    def heard(self, items: Iterable[Event | Output], now: int) -> None:
        """`now`: by the wall, as everywhere here; the items' own times may be a replay's."""
        for item in items:
            if (message := _message(item)) is not None:
                self._add(message, isinstance(item, Transition) and item.after != "ACTIVE", now)

    def silence(self, milliseconds: int, now: int) -> None:
        """How long the journal has not grown."""
        silent = milliseconds >= self.rules.silent_seconds * SECOND
        known = (trouble := self._troubles.get(SILENCE)) is not None and trouble.lasts
        if silent and not known:
            words = f"the hedger has written nothing for {milliseconds // SECOND} s: it hangs, or is gone"
            self._add(Message(SILENCE, Severity.CRITICAL, words), True, now)
        elif known and not silent:
            self._add(Message(SILENCE, Severity.INFO, "the hedger writes again"), False, now)

    def due(self, now: int) -> list[Message]:
        """What is to be told now, the most urgent first."""
        found = [
            each.message if not each.more else Message(each.message.key, each.message.severity, _more(each))
            for each in self._troubles.values()
            if each.told_at is None or (each.lasts and now - each.told_at >= self.rules.repeat_seconds * SECOND)
        ]
        return sorted(found, key=lambda message: -message.severity)

    def told(self, message: Message, now: int) -> None:
        """It reached somebody."""
        trouble = self._troubles[message.key]
        trouble.told_at, trouble.more = now, 0
        self._told[message.key, message.severity] = now
        if not trouble.lasts:
            del self._troubles[message.key]

    def _add(self, message: Message, lasts: bool, now: int) -> None:
        """What was told a while ago in the same words' place is only counted, unless it is critical."""
        known, before = self._troubles.get(message.key), self._told.get((message.key, message.severity))
        quiet = before is not None and now - before < self.rules.repeat_seconds * SECOND
        if known is not None and known.message.severity is message.severity:
            known.message, known.more, known.lasts = message, known.more + 1, lasts
        elif quiet and message.severity is not Severity.CRITICAL:
            if lasts:
                self._troubles[message.key] = _Trouble(message, lasts, told_at=before)
            else:
                self._troubles.pop(message.key, None)
        else:
            self._troubles[message.key] = _Trouble(message, lasts)


def _more(trouble: _Trouble) -> str:
    return f"{trouble.message.text} (and {trouble.more} times more)"


def retold(alert: Alert) -> bool:
    """Whether a transition beside it says the same."""
    return " takes " in alert.text


def _message(item: Event | Output) -> Message | None:
    if isinstance(item, Transition):
        words = f"{item.breaker} takes {item.after}: {item.reason}; the hedger is {item.state}"
        return Message(item.breaker, OF_STATE[item.after], words)
    if isinstance(item, Operator):
        words = f"{item.who}: {item.action} {item.subject}".strip()
        return Message(f"{item.action} {item.subject}", Severity.INFO, f"{words} ({item.why})")
    if isinstance(item, Flat):
        return Message("flat", Severity.INFO, f"flattened ({item.mode}), confirmed by the venue")
    if isinstance(item, Alert) and not retold(item):
        return Message(item.text, Severity.WARNING, item.text)
    return None
