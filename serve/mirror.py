"""The hedger's state, made again in another process by folding its journal: what persons and machines look at."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from serve import codec
from serve.attributing import Attribution
from serve.baseline import Baseline
from serve.commands import Alert, Decision, Denied, Infer, Output, Proposal, SubmitOrder, Transition
from serve.durations import Durations
from serve.errors import JournalBroken
from serve.events import BarClosed, CollateralMoved, Event, Filled, Inference
from serve.exposure import net, profit
from serve.journal import Journal
from serve.paging import retold
from serve.regimes import chances
from serve.runner import Core
from serve.setup import Setup
from serve.state import State

LATEST = 200  # of each kind of record, the latest
CURVE = 2_000  # points of the course since the start; beyond it every second one is left out

Record = Decision | Transition | Alert | Denied | Filled | Proposal
KINDS = (Decision, Transition, Alert, Denied, Filled, Proposal)


class Kept(NamedTuple):
    number: int  # of the journal's entry
    record: Record


@dataclass(frozen=True)
class Point:
    """The world and the hedge at a bar's end; per asset in the order of the settings."""

    time: int
    profit: float  # quote currency, as all money here
    delta_profit: float  # what the delta hedge would have made of the same book
    spot: tuple[float, ...]
    volatility: tuple[float, ...]
    intensity: tuple[float, ...]
    regimes: tuple[tuple[float, ...], ...]  # chance of each in the next bar, the calmest first
    delta: tuple[float, ...]  # book and hedges, base units


@dataclass
class Mirror:
    """Follows a journal that another process writes. One thread advances it; the others read what it publishes."""

    journal: Journal
    entries: int = 0
    records: dict[type, deque[Kept]] = field(default_factory=lambda: {kind: deque(maxlen=LATEST) for kind in KINDS})
    story: deque[Kept] = field(default_factory=lambda: deque(maxlen=LATEST))  # all kinds, as they came
    decision: Decision | None = None  # the last
    moved: dict[str, Transition] = field(default_factory=dict)  # by breaker: its last
    proposals: dict[str, Proposal] = field(default_factory=dict)  # by account: transfers that nobody has recorded
    curve: list[Point] = field(default_factory=list)
    core: Core = field(default_factory=Core)
    baseline: Baseline = field(default_factory=Baseline)
    attribution: Attribution = field(default_factory=Attribution)
    answers: Durations = field(default_factory=Durations)  # of the policy
    fills: Durations = field(default_factory=Durations)  # from an order's sending to its first
    _step: int = 1  # bars between points of the curve
    _bars: int = 0

    @property
    def state(self) -> State | None:
        return self.core.state

    @property
    def setup(self) -> Setup | None:
        return None if self.core.engine is None else self.core.engine.setup

    @property
    def assets(self) -> list[str]:
        return [] if self.setup is None else list(self.setup.market.assets)

    def advance(self, most: int) -> None:
        """Take in what was written since, at most so many entries. Raises JournalError where it cannot be read."""
        for entry in islice(self.journal.read(self.entries), most):
            item = codec.decode(entry.body)
            if entry.sequence != self.entries + 1:
                raise JournalBroken(f"entry {self.entries + 1} is missing")
            self.entries = entry.sequence
            self._taken(item)
            if isinstance(item, Record):
                kept = Kept(entry.sequence, item)
                self.records[type(item)].append(kept)
                if not (isinstance(item, Alert) and retold(item)):
                    self.story.append(kept)

    def _taken(self, item: Event | Output) -> None:
        self._timed(item)
        if isinstance(item, Decision):
            self.baseline.decided(self.core)
        self._stood(item)
        if isinstance(item, Event):
            before = self.core.state
            self.core.step(item)
            self.attribution.followed(item, before, self.core.state)
        if isinstance(item, BarClosed):
            self.baseline.accrued(self.core)
            self._noted(item)

    def _stood(self, item: Event | Output) -> None:
        if isinstance(item, Decision):
            self.decision = item
        elif isinstance(item, Transition):
            self.moved[item.breaker] = item
        elif isinstance(item, Proposal):
            self.proposals[item.account] = item
        elif isinstance(item, CollateralMoved):
            self.proposals.pop(item.account, None)

    def _timed(self, item: Event | Output) -> None:
        if isinstance(item, Infer):
            self.answers.begin(item.request, item.time)
        elif isinstance(item, Inference):
            self.answers.end(item.request, item.time)
        elif isinstance(item, SubmitOrder):
            self.fills.begin(item.order, item.time)
        elif isinstance(item, Filled):
            self.fills.end(item.order, item.time)

    def _noted(self, bar: BarClosed) -> None:
        self._bars += 1
        state, setup = self.core.state, self.setup
        made = None if state is None else profit(state)
        if state is None or setup is None or made is None or self._bars % self._step:
            return
        deltas = [net(state, each, float(state.ledger.coins.get(a, 0))).delta for a, each in state.valuations.items()]
        self.curve.append(
            Point(
                time=bar.ended,
                profit=made,
                delta_profit=made + self.baseline.ahead(self.core),
                spot=tuple(each.spot for each in state.valuations.values()),
                volatility=tuple(state.pasts[asset].volatility for asset in state.valuations),
                intensity=tuple(state.pasts[asset].intensity for asset in state.valuations),
                regimes=tuple(
                    tuple(chances(setup.market, asset, state.pasts[asset].memory).values())
                    for asset in state.valuations
                ),
                delta=tuple(deltas),
            )
        )
        if len(self.curve) > CURVE:
            self.curve, self._step = self.curve[1::2], 2 * self._step
