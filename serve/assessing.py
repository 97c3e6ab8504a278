"""What a journal says of a period's controls, for the yearly self-assessment (RTS 6, 9): facts alone."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from serve import breaker, codec
from serve.clock import SECOND, show
from serve.commands import Alert, Decision, Denied, Dropped, Flat, Output, Quiet, SubmitOrder, Transition
from serve.events import (
    Cancelled,
    Event,
    Filled,
    JournalStalled,
    ModelSwapped,
    Operator,
    Rejected,
    Started,
    VenueTime,
)
from serve.instructions import Instruction
from serve.journal import Journal

QUOTE = b'"type":"QuoteEvent"'  # in the bodies that say nothing here
NUMBERS = re.compile(r"-?\d[\d.,]*%?")
COUNTED: dict[type[Event] | type[Output], str] = {
    SubmitOrder: "orders sent",
    Filled: "fills",
    Cancelled: "cancellations",
    Rejected: "rejections",
    Alert: "alerts",
}


@dataclass
class Act:
    """A halt or a flatten, and how long it took until two sources confirmed it."""

    time: int
    what: str
    seconds: float | None = None


@dataclass
class Facts:
    """Of the entries from `since` on and before `until`, milliseconds."""

    since: int
    until: int
    entries: int = 0
    first: int | None = None
    last: int = 0
    starts: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    decisions: Counter[str] = field(default_factory=Counter)  # by who decided
    states: Counter[str] = field(default_factory=Counter)  # milliseconds in each
    denied: Counter[str] = field(default_factory=Counter)  # by reason, numbers left out
    dropped: Counter[str] = field(default_factory=Counter)  # messages, by kind
    trips: Counter[str] = field(default_factory=Counter)  # by breaker
    latches: Counter[str] = field(default_factory=Counter)
    hashes: dict[str, set[str]] = field(default_factory=lambda: {"model": set(), "config": set(), "limits": set()})
    halts: list[Act] = field(default_factory=list)
    flattens: list[Act] = field(default_factory=list)
    persons: list[str] = field(default_factory=list)  # what each did, in words
    worst: dict[str, int] = field(default_factory=dict)  # milliseconds, by what was timed
    _state: str = "ACTIVE"
    _moved: int = 0

    def heard(self, item: Event | Output) -> None:
        """One entry of the period more."""
        self.entries += 1
        self.last = item.time
        if self.first is None:
            self.first = self._moved = item.time
        if (name := COUNTED.get(type(item))) is not None:
            self.counts[name] += 1
        if isinstance(item, Transition):
            self._transited(item)
        elif isinstance(item, Decision | Denied | Dropped):
            self._decided(item)
        elif isinstance(item, Instruction | ModelSwapped) and item.who:
            self._acted(item)
        elif isinstance(item, Quiet | Flat):
            _confirm(self.halts if isinstance(item, Quiet) else self.flattens, item.time)
        else:
            self._timed(item)

    def told(self) -> dict[str, Any]:
        """For machines."""
        acts = {"halts": self.halts, "flattens": self.flattens}
        return {
            "from": None if self.first is None else show(self.first),
            "to": show(self.last),
            "entries": self.entries,
            "sessions": self.starts,
            **{name.replace(" ", "_"): self.counts[name] for name in COUNTED.values()},
            "decisions": dict(self.decisions),
            "seconds_in_state": {name: spent / SECOND for name, spent in self.states.items()},
            "denied": dict(self.denied),
            "dropped": dict(self.dropped),
            "trips": {name: self.trips[name] for name in breaker.names()},
            "latches": dict(self.latches),
            **{name: sorted(found) for name, found in self.hashes.items()},
            **{name: [vars(each) for each in found] for name, found in acts.items()},
            "persons": self.persons,
            "worst_ms": self.worst,
        }

    def closed(self) -> None:
        """The time in the last state counts too."""
        self.states[self._state] += self.last - self._moved

    def _transited(self, item: Transition) -> None:
        if item.reason != "recovered" and item.after != "ACTIVE":
            self.trips[item.breaker] += 1
            self.latches[item.breaker] += "latched" in item.reason
        if item.state == self._state:
            return
        self.states[self._state] += item.time - self._moved
        self._state, self._moved = item.state, item.time
        if item.state == "HALTED":
            self.halts.append(Act(item.time, f"{item.breaker}: {item.reason}"))

    def _decided(self, item: Decision | Denied | Dropped) -> None:
        if isinstance(item, Decision):
            self.decisions[item.source] += 1
            for name, found in self.hashes.items():
                found |= {getattr(item, name)} - {""}
        elif isinstance(item, Denied):
            self.denied[NUMBERS.sub("…", item.reason)] += 1
        else:
            self.dropped[item.what] += 1

    def _acted(self, item: Instruction | ModelSwapped) -> None:
        what = f"{item.action} {item.subject}".strip() if isinstance(item, Operator) else type(item).__name__
        self.persons.append(f"{show(item.time)} {item.who}: {what} ({item.why})")
        if isinstance(item, Operator) and item.action == "flatten":
            self.flattens.append(Act(item.time, what))

    def _timed(self, item: Event | Output) -> None:
        if isinstance(item, Started):
            self.starts += 1
        elif isinstance(item, VenueTime):
            self._slower("round trip to the venue", item.round_trip_ms)
            self._slower("clock against the venue's", abs(item.skew_ms))
        elif isinstance(item, JournalStalled):
            self._slower("commit", item.milliseconds)

    def _slower(self, what: str, took: int) -> None:
        self.worst[what] = max(took, self.worst.get(what, 0))


def _confirm(acts: list[Act], at: int) -> None:
    """The last act is done."""
    if acts and acts[-1].seconds is None:
        acts[-1].seconds = (at - acts[-1].time) / SECOND


def assessed(journal: Journal, since: int, until: int) -> Facts:
    """Raises JournalBroken where the journal's chain does not hold."""
    journal.verify()
    facts = Facts(since, until)
    for entry in journal.read():
        if QUOTE in entry.body:
            continue
        item = codec.decode(entry.body)
        if since <= item.time < until:
            facts.heard(item)
    facts.closed()
    return facts
