"""What persons told, as events for the core: each is journalled once, however often the process is killed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from serve.clock import SECOND, Clock
from serve.commands import Dropped, Output
from serve.errors import InboxError
from serve.events import Event, Malformed, ModelSwapped, Operator
from serve.inbox import Inbox, Waiting
from serve.instructions import Instruction

POLL = SECOND // 4  # of the wall, between looks at the inbox
SOURCE = "inbox"


class Promoter(Protocol):
    """Loads models beside the loop."""

    def begin(self, told: Operator) -> None: ...

    def done(self, now: int) -> tuple[Event, ...]:
        """What became of those that are loaded, or were found to be none."""
        ...


class People:
    """Between the inbox and the loop."""

    def __init__(self, inbox: Inbox, promoter: Promoter, clock: Clock, past: Iterable[Event]) -> None:
        """`past`: what was journalled before a restart, whose instructions are not taken again."""
        self._inbox, self._promoter, self._clock = inbox, promoter, clock
        self._answers = {name: "taken" for event in past if (name := command(event))}  # of what was taken, by id
        self._begun = set[str]()  # promotions on their way
        self._silent = False
        self.next = clock.now()  # when to look again

    def heard(self) -> tuple[Event, ...]:
        """What was told since the last look, if it is time for one. That the inbox is silent is told once."""
        return self.look() if self._clock.now() >= self.next else ()

    def look(self) -> tuple[Event, ...]:
        now, self.next = self._clock.now(), self._clock.ahead(POLL)
        try:
            waiting, was, self._silent = self._inbox.waiting(), self._silent, False
        except InboxError as error:
            was, self._silent = self._silent, True
            return () if was else (Malformed(now, SOURCE, "", str(error)),)
        events = [event for each in waiting for event in self._taken(each, now)]
        return (*events, *self._promoter.done(now))

    def held(self) -> bool:
        """Whether nothing may be sent: a halt waits to be taken, or whether one does cannot be known."""
        try:
            return not self._inbox.halts() <= self._answers.keys()
        except InboxError:
            return True

    def told(self, event: Event, outputs: tuple[Output, ...]) -> None:
        """What is journalled is answered; an answer that cannot be written is written at a later look."""
        if name := command(event):
            refused = next((each.reason for each in outputs if isinstance(each, Dropped)), None)
            self._answers[name] = "taken" if refused is None else f"refused: {refused}"
            self._answer(name)

    def _taken(self, each: Waiting, now: int) -> tuple[Event, ...]:
        if each.id in self._answers:
            self._answer(each.id)
            return ()
        if each.told is None:
            self._answers[each.id] = f"refused: {each.fault}"
            self._answer(each.id)
            return (Malformed(now, SOURCE, each.body.decode(errors="replace"), each.fault),)
        if isinstance(each.told, Operator) and each.told.action == "promote":
            if each.id not in self._begun:
                self._begun.add(each.id)
                self._promoter.begin(each.told)
            return ()
        return (replace(each.told, time=now),)

    def _answer(self, name: str) -> None:
        with suppress(InboxError):
            self._inbox.answer(name, self._answers[name])


def command(event: Event) -> str:
    """The id of the instruction that the event carries out; empty where it is no instruction."""
    return event.command if isinstance(event, Instruction | ModelSwapped) else ""
