"""A journal under other settings or another model: at which decisions would they have decided otherwise?

The recorded past stays as it was: every event is also given to the other engine, in the recorded state, but with the
other's own breakers, so a changed limit is seen wherever it binds and one difference does not hide the next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from agents.network import ActorNetwork
from serve import codec
from serve.clock import Clock
from serve.codec import canonical
from serve.commands import Decision, Denied, Infer, Output
from serve.config import ServeConfig
from serve.engine import Engine
from serve.events import Event, Inference, Started
from serve.journal import Journal
from serve.policy import NetworkPolicies
from serve.runner import Core
from serve.state import State


@dataclass(frozen=True)
class Otherwise:
    """One decision that would have been another."""

    time: int
    decision: int  # its number in the journal, from 1
    recorded: str
    other: str


@dataclass(frozen=True)
class Change:
    """What is other than recorded; None: as it was."""

    config: ServeConfig | None = None
    model: ActorNetwork | None = None

    def started(self, event: Started) -> Started:
        if self.config is None:
            return event
        return replace(event, config=canonical(self.config.model_dump(mode="json")).decode())


def compared(journal: Journal, change: Change, clock: Clock) -> tuple[int, list[Otherwise]]:
    """The number of recorded decisions, and those that `change` would have made otherwise. Raises JournalBroken."""
    journal.verify()
    core, other = Core(), _Other(change, clock)
    count, found = 0, list[Otherwise]()
    for entry in journal.read():
        event = codec.decode(entry.body)
        if not isinstance(event, Event):
            continue
        before = core.state
        made = _told(core.step(event))
        theirs = _told(other.step(before, event))
        for k in range(max(len(made), len(theirs))):
            count += k < len(made)
            pair = made[k] if k < len(made) else "nothing", theirs[k] if k < len(theirs) else "nothing"
            if pair[0] != pair[1]:
                found.append(Otherwise(event.time, count, *pair))
    return count, found


class _Other:
    """The changed engine, walked along the recorded states."""

    def __init__(self, change: Change, clock: Clock) -> None:
        self._change, self._clock = change, clock
        self._engine: Engine | None = None
        self._state: State | None = None

    def step(self, before: State | None, event: Event) -> tuple[Output, ...]:
        """What it makes of `event` in the recorded state `before` it."""
        if isinstance(event, Started):
            self._engine = Engine.opened(self._change.started(event))
        assert self._engine is not None, "the recorded engine has stepped, so a session was started"
        state = self._engine.initial() if before is None else before
        if self._state is not None:
            state = replace(state, monitors=self._state.monitors, recollections=self._state.recollections)
        self._state, outputs = self._engine.step(state, self._answered(state, event))
        return outputs

    def _answered(self, state: State, event: Event) -> Event:
        """The other model's answer to the question that the recorded one answered."""
        question, network = state.question, self._change.model
        if network is None or question is None or not isinstance(event, Inference):
            return event
        if event.request != question.asked.request:
            return event
        policies = NetworkPolicies(self._clock, float("inf"))
        policies.add(event.model, network)
        asked = Infer(event.time, event.request, event.model, question.asked.features)
        return replace(policies.answer(asked), time=event.time)


def _told(outputs: tuple[Output, ...]) -> list[str]:
    """The decisions among `outputs`, in words that leave out hashes."""
    return [_words(output, outputs) for output in outputs if isinstance(output, Decision)]


def _words(made: Decision, outputs: tuple[Output, ...]) -> str:
    legs = ", ".join(f"{leg.symbol} {leg.wanted:f} wanted, {leg.sent:f} sent" for leg in made.legs)
    denied = "; ".join(output.reason for output in outputs if isinstance(output, Denied))
    reasons = "; ".join(each for each in (made.reason, denied) if each)
    return f"{made.source} in {made.state}: {legs}" + (f" ({reasons})" if reasons else "")
