"""An hour of trading with a venue that outlives the engine, and deaths at the journal's writes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal

import numpy as np

from serve import codec
from serve.clock import SECOND
from serve.commands import Ask, CancelOrder, LookUp, SubmitOrder
from serve.events import (
    Absent,
    Acknowledged,
    BalanceReport,
    Cancelled,
    DecisionDue,
    Event,
    Filled,
    Heartbeat,
    OrdersReport,
    OutcomeUnknown,
    PositionsReport,
    QuoteEvent,
    Rejected,
    Started,
)
from serve.journal import Journal
from serve.runner import Core, Runner, replayed
from serve.states import RiskState
from tests.serve.support import PERP, SPOT, START, call, history, quote, started

MINUTE = 60 * SECOND
FEE = Decimal("0.1")
FATES = ("filled", "part", "rejected", "lost reply", "lost order", "late", "told twice")
CHANCES = (0.34, 0.14, 0.08, 0.12, 0.08, 0.16, 0.08)
CALM_FROM = 50  # minutes, after which every order fills


def hour() -> list[Event]:
    """Quotes each minute, decisions each second one, and a call that is sold in the middle."""
    rng, events, spot = np.random.default_rng(11), [call(START + 2), history()], SPOT
    for minute in range(1, 61):
        now, spot = START + minute * MINUTE, round(spot * float(np.exp(0.004 * rng.standard_normal())), 1)
        events.append(quote(now, spot))
        if minute == 20:
            events.append(call(now + 5, strike=21_000.0, units="-6", name="call-2"))
        events.append(DecisionDue(now + 10) if minute % 2 else Heartbeat(now + 11 * SECOND))
    return [events[1], quote(START + 1), events[0], *events[2:]]


class Exchange:
    """What an order meets depends on its id alone; what has once arrived never trades again."""

    def __init__(self) -> None:
        self.price, self.cash, self.position = Decimal(0), Decimal(0), Decimal(0)
        self.received: Counter[str] = Counter()
        self.late: dict[str, SubmitOrder] = {}
        self.seen: QuoteEvent | None = None
        self._answers: dict[str, tuple[Event, ...]] = {}

    def submit(self, order: SubmitOrder) -> tuple[Event, ...]:
        fate = self._fate(order)
        if fate == "lost order":
            return (OutcomeUnknown(order.time, order.order, "connection reset"),)
        self.received[order.order] += 1
        taken = Acknowledged(order.time, order.order)
        if fate == "rejected":
            return self._answered(order.order, Rejected(order.time, order.order, "busy"))
        if fate == "late":
            self.late[order.order] = order
            return self._answered(order.order, taken)
        if fate == "part":
            half = (order.units / 2).quantize(Decimal("0.001"))
            fills: tuple[Event, ...] = (self._filled(order, half), Cancelled(order.time, order.order))
        else:
            fills = (self._filled(order, order.units),)
        answers = self._answered(order.order, taken, *fills)
        if fate == "lost reply":
            return (OutcomeUnknown(order.time, order.order, "no reply"),)
        return (*answers, answers[-1]) if fate == "told twice" else answers

    def cancel(self, order: CancelOrder) -> tuple[Event, ...]:
        if self.late.pop(order.order, None) is None:
            return ()
        return self._answered(order.order, Cancelled(order.time, order.order))[-1:]

    def look_up(self, order: LookUp) -> tuple[Event, ...]:
        known = self._answers.get(order.order, (Absent(order.time, order.order),))
        return tuple(replace(event, time=order.time) for event in known)

    def report(self, question: Ask) -> tuple[Event, ...]:
        now = question.time
        if question.what == "orders":
            return (OrdersReport(now, tuple(self.late)),)
        if question.what == "positions":
            return (PositionsReport(now, now, ((PERP, self.position),)),)
        return (BalanceReport(now, now, self.cash, 0.0),)

    def arrived(self, now: int) -> tuple[Event, ...]:
        """The fills of the orders that were late."""
        late, self.late = self.late, {}
        return tuple(
            self._answered(name, replace(self._filled(order, order.units), time=now))[-1]
            for name, order in late.items()
        )

    def _fate(self, order: SubmitOrder) -> str:
        number = int(order.order.rpartition("-")[2])
        if order.time >= START + CALM_FROM * MINUTE:
            return "filled"
        return str(np.random.default_rng([5, number]).choice(FATES, p=CHANCES))

    def _filled(self, order: SubmitOrder, units: Decimal) -> Filled:
        self.position += units
        self.cash -= units * self.price + FEE
        return Filled(order.time, order.order, f"{order.order}/1", units, self.price, FEE)

    def _answered(self, name: str, *events: Event) -> tuple[Event, ...]:
        self._answers[name] = (*self._answers.get(name, ()), *events)
        return self._answers[name]


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


class Mortal(Journal):
    """A journal whose process dies at its write number `death`, `before` it is on disk or after."""

    death, before, writes = -1, True, 0

    def append(self, bodies: object) -> None:
        self.writes += 1
        if self.writes == self.death and self.before:
            raise Killed
        super().append(bodies)  # type: ignore[arg-type]
        if self.writes == self.death:
            raise Killed


def traded(journal: Journal, exchange: Exchange, script: list[Event]) -> Core:
    """The rest of the hour; on Killed what is left of `script` is what had not been handled whole.

    A journal with entries is taken up, and our records must at once be the venue's; what it holds comes no more.
    """
    core, past = replayed(journal) if journal.head[0] > 0 else (Core(), list[Event]())
    runner = Runner(journal, exchange, None, core)
    runner.handle(_start(max(START, 0 if core.state is None else core.state.time)))
    assert not runner.state.venue.awaited
    _agree(runner, exchange)
    told = {codec.encode(event) for event in past}
    if exchange.seen is not None:
        runner.handle(exchange.seen)  # a feed begins with the present quote, which may have died unwritten
    while script:
        event = script[0]
        if isinstance(event, QuoteEvent):
            exchange.seen, exchange.price = event, Decimal(str(event.spot))
        for late in exchange.arrived(event.time):
            runner.handle(late)
        if codec.encode(event) not in told:
            runner.handle(event)
        script.pop(0)
    runner.flush()
    _agree(runner, exchange)
    return core


def _start(now: int) -> Started:
    return started(
        now,
        with_model=False,
        bands__calm_width=0.01,
        bands__stress_width=0.01,
        execution__slice_seconds=60,
        clocks__reconcile_seconds=300,
    )


def _agree(runner: Runner, exchange: Exchange) -> None:
    """Same position, same cash, and every order that works at the venue is reserved here."""
    state = runner.state
    assert state.risk < RiskState.REDUCING, state.strictest()
    assert state.ledger.position(PERP) == exchange.position
    assert set(exchange.late) <= {order.id for order in state.reserved}
