"""The pure core: (state, event) → (state, outputs). No clock, no network, no randomness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from serve import facts
from serve.breaker import Trained, View
from serve.clock import SECOND
from serve.commands import CancelOrder, LookUp, Output
from serve.deciding import Decider
from serve.errors import OrderError
from serve.events import (
    Absent,
    Acknowledged,
    BarClosed,
    Cancelled,
    DecisionDue,
    Event,
    Filled,
    FundingPaid,
    History,
    Inference,
    Operator,
    OptionSettled,
    OptionTraded,
    OutcomeUnknown,
    QuoteEvent,
    Rejected,
    Started,
)
from serve.market import Greeks
from serve.orders import unknown
from serve.setup import Setup, opened
from serve.state import Question, State
from serve.states import Monitor, RiskState
from serve.watch import doubt, transitions, watched

Outputs = tuple[Output, ...]


class Engine:
    """Built from a session's first event; holds settings and shared code, never state."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._decider = Decider(setup)
        self._facts: Mapping[type[Event], Callable[[State, Any], State]] = {
            Started: self._started,
            History: self._warmed,
            QuoteEvent: facts.quoted,
            BarClosed: self._bar_closed,
            DecisionDue: facts.due,
            OptionTraded: self._option_traded,
            OptionSettled: facts.settled,
            FundingPaid: facts.funded,
            Operator: facts.operated,
            **dict.fromkeys((Acknowledged, Rejected, Filled, Cancelled, OutcomeUnknown, Absent), facts.order_heard),
        }

    @classmethod
    def opened(cls, started: Started) -> Engine:
        return cls(opened(started))

    def initial(self) -> State:
        return State(memory=self.setup.market.filter.initial(1))

    def step(self, state: State, event: Event) -> tuple[State, Outputs]:
        """Facts first, then the breakers on what they made of the world, then what is to be done."""
        before, question = state, self._closed(state, event)
        state = self._applied(state, event)
        state = watched(state, self.setup.breakers, self._view(state, event, question))
        state = self._believed(state, event)
        outputs = transitions(before, state)
        if state.risk is RiskState.HALTED and before.risk is not RiskState.HALTED:
            outputs += [CancelOrder(state.time, order.id) for order in state.in_flight]
        if RiskState.HALTED > state.risk > before.risk or before.risk is RiskState.HALTED > state.risk:
            state = replace(state, due=True)
        state, asked = self._chased(state)
        state, decided = self._decider.acted(state, event, question, doubt(state, self.setup.breakers))
        return state, (*outputs, *asked, *decided)

    def profit(self, state: State) -> float | None:
        """Since the start, with hedge and option at their marks, quote currency; None before the first quote."""
        return self._profit(state, self._greeks(state))

    def _applied(self, state: State, event: Event) -> State:
        """The facts of the event; one that cannot be true halts."""
        if event.time < state.time:
            words = f"time went back by {(state.time - event.time) / SECOND:.3f} s"
            return facts.broken(state, words)
        state = replace(state, time=event.time)
        apply = self._facts.get(type(event))
        try:
            return state if apply is None else apply(state, event)
        except OrderError as error:
            return facts.broken(state, str(error))

    def _started(self, state: State, event: Started) -> State:
        """A restart leaves every order in flight unknown, and drops an open question."""
        orders = {
            name: replace(unknown(order, event.time), asked_at=None) if order.in_flight else order
            for name, order in state.orders.items()
        }
        model = Monitor(RiskState.FALLBACK, reason="no model is loaded") if self.setup.trained is None else Monitor()
        monitors = {**state.monitors, "model": model}
        due = state.due or (state.question is not None and state.question.binding)
        return self._cold(replace(state, orders=orders, monitors=monitors, question=None, due=due))

    def _warmed(self, state: State, event: History) -> State:
        """A history that ended two bars ago or earlier does not count as warmth: the market has moved on since."""
        memory = self.setup.market.remembered(event.closes)
        if event.time - event.ended >= 2 * self.setup.market.bar:
            memory = replace(memory, bars=memory.bars * 0)
        return self._cold(replace(state, memory=memory, bar_spot=event.closes[-1], bar_time=event.ended))

    def _bar_closed(self, state: State, event: BarClosed) -> State:
        """Memory advances on a close that follows the last one by one bar; a gap pauses it.

        A bar that the history or an earlier timer brought is not counted again.
        """
        bar, quote = self.setup.market.bar, state.trusted
        if event.ended <= state.bar_time:
            return state
        if quote is None or quote.quoted_at <= event.ended - bar:
            return replace(state, bar_spot=None)
        if state.bar_spot is None or event.ended - state.bar_time != bar:
            return replace(state, bar_spot=quote.spot, bar_time=event.ended)
        memory = self.setup.market.advanced(state.memory, state.bar_spot, quote.spot)
        return self._cold(replace(state, memory=memory, bar_spot=quote.spot, bar_time=event.ended))

    def _cold(self, state: State) -> State:
        """With the monitor that keeps the policy out until the filter is warm."""
        bars, needed = int(state.memory.bars), self.setup.config.clocks.warmup_bars
        words = f"the filter has seen {bars} of {needed} bars"
        monitor = Monitor() if bars >= needed else Monitor(RiskState.FALLBACK, reason=words)
        return replace(state, monitors={**state.monitors, "warm_up": monitor})

    def _option_traded(self, state: State, event: OptionTraded) -> State:
        """This version hedges one short call within the contract's life; another book is an unhedged one."""
        longest = self.setup.market.contract.bars
        if state.option is not None or event.units >= 0 or self.setup.market.bars_left(event, event.time) > longest:
            return facts.broken(state, f"{event.option}: only one short call of at most {longest} bars can be hedged")
        mark = Decimal(0) if state.quote is None else Decimal(repr(state.quote.mark))
        start = state.ledger.hedge_cash + state.ledger.position * mark
        ledger = state.ledger.option_cash(event.premium)
        return replace(state, option=event, ledger=ledger, account_start=start, due=True)

    def _closed(self, state: State, event: Event) -> Question | None:
        """The open question, if the event answers it or finds it overdue."""
        question = state.question
        if question is None:
            return None
        if isinstance(event, Inference):
            return question if event.request == question.asked.request else None
        limit = self.setup.config.clocks.inference_seconds * SECOND
        return question if event.time - question.asked.time > limit else None

    def _view(self, state: State, event: Event, question: Question | None) -> View:
        greeks, units = self._greeks(state), float(state.option.units) if state.option is not None else 0.0
        position = float(state.ledger.position)
        warm = state.monitors.get("warm_up", Monitor()).level is RiskState.ACTIVE
        return View(
            event=event,
            quote=state.quote,
            volatility=self.setup.market.volatility(state.memory) if warm else None,
            profit=self._profit(state, greeks),
            delta=units * greeks.delta + position,
            gamma=units * greeks.gamma,
            position=position,
            asked=None if question is None else question.asked,
            overdue=question is not None and not isinstance(event, Inference),
            trained=self.setup.trained or Trained((), (), (), 0),
        )

    def _profit(self, state: State, greeks: Greeks) -> float | None:
        if state.quote is None:
            return None
        units = float(state.option.units) if state.option is not None else 0.0
        return float(state.ledger.worth(Decimal(repr(state.quote.mark)))) + units * greeks.value

    def _greeks(self, state: State) -> Greeks:
        if state.option is None or state.quote is None:
            return Greeks(0.0, 0.0, 0.0)
        return self.setup.market.greeks(state.quote, state.memory, state.option, state.time)

    def _believed(self, state: State, event: Event) -> State:
        if isinstance(event, QuoteEvent) and doubt(state, self.setup.breakers) is None:
            return replace(state, trusted=event)
        return state

    def _chased(self, state: State) -> tuple[State, list[Output]]:
        """Orders without an outcome for too long are looked up by id; none is ever sent again."""
        patience = self.setup.config.clocks.order_seconds * SECOND
        orders, outputs = dict(state.orders), list[Output]()
        for order in state.in_flight:
            restarted = order.status.value == "unknown" and order.asked_at is None
            since = order.sent_at if order.asked_at is None else order.asked_at
            if restarted or state.time - since >= patience:
                orders[order.id] = unknown(order, state.time)
                outputs.append(LookUp(state.time, order.id))
        return (replace(state, orders=orders), outputs) if outputs else (state, outputs)
