"""The loop around the core: journal, then step, then journal what came of it, and only then carry it out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

import torch

from serve import codec
from serve.clock import Clock, VirtualClock
from serve.commands import Alert, Ask, CancelOrder, Infer, LookUp, Output, SubmitOrder
from serve.engine import Engine
from serve.errors import JournalBroken, JournalError, ReplayMismatch
from serve.events import (
    BookFunded,
    BookSettled,
    BookTraded,
    CollateralMoved,
    Deleveraged,
    Event,
    FundingPaid,
    Inference,
    JournalStalled,
    ModelSwapped,
    Operator,
    Started,
    TargetSet,
)
from serve.journal import Journal
from serve.setup import Setup
from serve.state import State

WAITING = 256  # entries that may wait for the next commit, as long as nothing leaves
SLOW = 100  # milliseconds of a commit beyond which the core hears of it
_LEAVING = (SubmitOrder, CancelOrder, Alert)
_ONCE = (
    Started,
    Operator,
    BookTraded,
    BookSettled,
    BookFunded,
    TargetSet,
    CollateralMoved,
    FundingPaid,
    Deleveraged,
    ModelSwapped,
)  # told only once


class Venue(Protocol):
    """Where orders go. Every answer is events; an id seen before never trades again."""

    def submit(self, order: SubmitOrder) -> tuple[Event, ...]: ...

    def cancel(self, order: CancelOrder) -> tuple[Event, ...]: ...

    def look_up(self, order: LookUp) -> tuple[Event, ...]: ...

    def report(self, question: Ask) -> tuple[Event, ...]: ...


class Policy(Protocol):
    def answer(self, question: Infer) -> Inference:
        """Never raises: what went wrong is in the answer."""
        ...


class Core:
    """The engine of the session at hand and its state; a new session in the same journal keeps the state."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.state: State | None = None

    def step(self, event: Event) -> tuple[Output, ...]:
        if isinstance(event, Started):
            self.engine = Engine.opened(event)
            self.state = self.engine.initial() if self.state is None else self.state
        if self.engine is None or self.state is None:
            raise JournalBroken("the journal does not begin with a session's start")
        self.state, outputs = self.engine.step(self.state, event)
        return outputs


class Runner:
    """One session on one journal."""

    def __init__(
        self,
        journal: Journal,
        venue: Venue,
        policy: Policy | None,
        core: Core,
        told: Callable[[Event, tuple[Output, ...]], None] = lambda event, outputs: None,
        clock: Clock | None = None,
    ) -> None:
        """`told` hears every event with what came of it, after it is durable or waiting to be.

        `clock`: what commits are timed by; by one that moves only when it is told to, none is ever slow.
        """
        self._journal, self._venue, self._policy, self.core, self._told = journal, venue, policy, core, told
        self._clock = VirtualClock() if clock is None else clock
        self._slow, self._stalls = False, list[JournalStalled]()
        self._unwritten: list[bytes] = []
        self._broken: JournalError | None = None

    @property
    def state(self) -> State:
        assert self.core.state is not None, "no session was started"
        return self.core.state

    @property
    def setup(self) -> Setup:
        assert self.core.engine is not None, "no session was started"
        return self.core.engine.setup

    def handle(self, event: Event) -> None:
        """The event and all that the adapters answer to it.

        Raises JournalError, now and ever after, once the journal cannot be written: nothing leaves but cancels.
        """
        if self._broken is not None:
            raise self._broken
        waiting = deque([event])
        while waiting:
            now, body = codec.recorded(self._arrived(waiting.popleft()))
            outputs = self.core.step(now)
            self._unwritten += [body, *map(codec.encode, outputs)]
            if (
                isinstance(now, _ONCE)
                or len(self._unwritten) >= WAITING
                or any(isinstance(each, _LEAVING) for each in outputs)
            ):
                self.flush()
            self._told(now, outputs)
            for output in outputs:
                waiting.extend(self._carried_out(output))
            stalls, self._stalls = self._stalls, []
            waiting.extend(stalls)

    def flush(self) -> None:
        """Everything handled so far is durable on return."""
        bodies, self._unwritten = self._unwritten, []
        try:
            if bodies:
                self._timed(bodies)
        except JournalError as error:
            self._broken = error
            self.withdraw()
            raise

    def withdraw(self) -> None:
        """Nothing of ours is left at the venue by one that stops; what became of it is looked up at the next start."""
        for order in self.state.reserved:
            self._venue.cancel(CancelOrder(self.state.time, order.id))

    def _timed(self, bodies: list[bytes]) -> None:
        """A slow commit is an event, and so is the first quick one after it."""
        began = self._clock.now()
        self._journal.append(bodies)
        ended = self._clock.now()
        was, self._slow = self._slow, ended - began > SLOW
        if was or self._slow:
            self._stalls.append(JournalStalled(ended, ended - began))

    def _arrived(self, event: Event) -> Event:
        """The event, dated when the core gets to it: it may have waited while another was answered."""
        latest = 0 if self.core.state is None else self.core.state.time
        return event if event.time >= latest else replace(event, time=latest)

    def _carried_out(self, output: Output) -> Iterable[Event]:
        if isinstance(output, SubmitOrder):
            return self._venue.submit(output)
        if isinstance(output, CancelOrder):
            return self._venue.cancel(output)
        if isinstance(output, LookUp):
            return self._venue.look_up(output)
        if isinstance(output, Ask):
            return self._venue.report(output)
        if isinstance(output, Infer) and self._policy is not None:
            return (self._policy.answer(output),)
        return ()


def replayed(
    journal: Journal, told: Callable[[Event, tuple[Output, ...]], None] | None = None
) -> tuple[Core, list[Event]]:
    """The core after the journal's events, and the events; the chain is checked first.

    Raises JournalBroken, or ReplayMismatch at the first output that the core does not make again byte for byte.
    """
    journal.verify()
    core, events, expected, written = Core(), list[Event](), deque[bytes](), ""
    for entry in journal.read():
        item = codec.decode(entry.body)
        if isinstance(item, Event):
            _exhausted(expected, entry.sequence, written)
            written = item.computed if isinstance(item, Started) else written
            outputs = core.step(item)
            expected.extend(codec.encode(output) for output in outputs)
            events.append(item)
            if told is not None:
                told(item, outputs)
        elif not expected or expected.popleft() != entry.body:
            raise _mismatch(
                f"entry {entry.sequence} is not what the core makes of the same events: {entry.body!r}", written
            )
    _exhausted(expected, journal.head[0] + 1, written)
    return core, events


def computed() -> str:
    """By what this process computes, as `Started` keeps it."""
    return f"torch {torch.__version__} with {torch.backends.cpu.get_cpu_capability()}"


def _exhausted(expected: deque[bytes], sequence: int, written: str) -> None:
    if expected:
        raise _mismatch(f"before entry {sequence} the core gives {expected[0]!r}, which was not recorded", written)


def _mismatch(words: str, written: str) -> ReplayMismatch:
    here = computed()
    other = f"; it was computed by {written}, and here by {here}" if written not in ("", here) else ""
    return ReplayMismatch(words + other)
