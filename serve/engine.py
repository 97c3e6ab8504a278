"""The pure core: (state, event) → (state, outputs). No clock, no network, no randomness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

import torch

from envs.instrument import View
from envs.types import BadInput
from serve import collateral, edge, facts, flattening, halting, hearing, margining, reconciling, resting
from serve.clock import SECOND
from serve.commands import Alert, ModelChanged, Output
from serve.deciding import Decider
from serve.errors import OrderError, Refused, in_words
from serve.events import (
    BalanceReport,
    BarClosed,
    BookFunded,
    BookSeen,
    BookSettled,
    BookTraded,
    CollateralMoved,
    DecisionDue,
    Deleveraged,
    Event,
    FundingPaid,
    Heartbeat,
    History,
    Inference,
    JournalStalled,
    Listed,
    ModelOffered,
    ModelSwapped,
    Operator,
    OrdersReport,
    PositionsReport,
    QuoteEvent,
    SourcePrice,
    Started,
    SurfaceQuote,
    TargetSet,
    VenueTime,
)
from serve.frozen import replace
from serve.orders import OrderEvent, unknown
from serve.remembering import Rememberer
from serve.setup import Setup, listings, opened
from serve.shadowing import Shadower
from serve.smile import Smile
from serve.state import Question, State, VenueSide
from serve.states import BreakerClass, Monitor, RiskState
from serve.viewing import view
from serve.watch import doubt, rose, transitions, watched

Outputs = tuple[Output, ...]
REVALUED = (QuoteEvent, BarClosed, History, BookTraded, BookSettled, Listed, SurfaceQuote)


class Engine:
    """Built from a session's first event; holds settings and shared code, never state."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.decider, self._shadower = Decider(setup), Shadower(setup)
        self._patience = setup.config.clocks.order_seconds * SECOND  # with what has no outcome
        self._rememberer = Rememberer(setup.market, setup.config.clocks.warmup_bars)
        self._facts: Mapping[type[Event], Callable[[State, Any], State]] = {
            Started: self._started,
            History: self._rememberer.warmed,
            QuoteEvent: facts.quoted,
            SurfaceQuote: self._surfaced,
            SourcePrice: facts.sourced,
            BarClosed: self._bar_closed,
            DecisionDue: facts.due,
            BookTraded: facts.traded,
            BookSettled: facts.settled,
            BookFunded: facts.funded,
            BookSeen: facts.seen,
            TargetSet: facts.targeted,
            CollateralMoved: lambda state, event: collateral.recorded(state, event, self.setup),
            Listed: facts.listed,
            VenueTime: facts.venue_timed,
            JournalStalled: facts.stalled,
            ModelOffered: self._offered,
            ModelSwapped: facts.swapped,
            FundingPaid: hearing.funded,
            Deleveraged: self._deleveraged,
            Operator: self._operated,
            **dict.fromkeys((OrdersReport, PositionsReport, BalanceReport), self._reported),
            **dict.fromkeys(get_args(OrderEvent), self._heard),
        }

    @classmethod
    def opened(cls, started: Started) -> Engine:
        return cls(opened(started))

    def initial(self) -> State:
        market = self.setup.market
        return State(
            pasts={name: self._rememberer.initial(place) for name, place in market.assets.items()},
            targets=self.setup.config.targets,
            listings=listings(self.setup.config),
        )

    @torch.inference_mode()
    def step(self, state: State, event: Event) -> tuple[State, Outputs]:
        """The state after `event`, and what comes of it. An event that the core cannot take in is left, and halts."""
        try:
            return self._stepped(state, event)
        except Exception as error:  # dying with orders at the venue, at every restart anew, would be worse
            said = f"{type(event).__name__} raised {in_words(error)}"
            after = facts.broken(replace(state, time=max(state.time, event.time)), said)
            after, told = facts.left_out(after, event, said)
            after, quieted = halting.progressed(state, after, self._patience)
            return after, (told, *transitions(state, after), *quieted)

    def _stepped(self, state: State, event: Event) -> tuple[State, Outputs]:
        """Facts first, then the breakers on what they made of the world, then what is to be done."""
        before, question = state, self._closed(state, event)
        state, outputs = self._applied(state, event)
        news = Heartbeat(event.time) if outputs else event  # of what was dropped nothing is known but that time passed
        state = hearing.missed(watched(state, self.setup.breakers, view(self.setup, state, news, question)))
        state = self._fallen_back(before, self._believed(state, event))
        outputs += [*transitions(before, state), *_changed(before, state), *hearing.overtaken(before, state, event)]
        state, quieted = halting.progressed(before, state, self._patience)
        if state.risk < RiskState.HALTED and (before.risk is RiskState.HALTED or rose(before, state)):
            state = state.owing(*state.pasts)
        state, chased = self._chased(state, event)
        state, cared = collateral.progressed(before, state, self.setup, self.decider.sight)
        state, flat = flattening.progressed(before, state, self.setup.market, self._patience)
        state, shadow = self._shadower.answered(state, event) if isinstance(event, Inference) else (state, [])
        doubted = doubt(state, self.setup.breakers)
        state, decided = self.decider.acted(self._sliced(state), event, question, doubted)
        state, pulled = resting.withdrawn(state, self.setup.market, doubted)
        asked = flattening.asked(before, state)
        return state, (*outputs, *quieted, *chased, *cared, *flat, *shadow, *decided, *pulled, *asked)

    def _applied(self, state: State, event: Event) -> tuple[State, list[Output]]:
        """The facts of the event: one that is refused is counted and dropped, one that cannot be true halts."""
        if event.time < state.time:
            words = f"time went back by {(state.time - event.time) / SECOND:.3f} s"
            state, told = facts.left_out(facts.broken(state, words), event, words)
            return state, [told]
        state, apply = self._faded(replace(state, time=event.time)), self._facts.get(type(event))
        try:
            edge.checked(state, event, self.setup.market, self.setup.config)
            state = state if apply is None else apply(state, event)
            own = getattr(event, "asset", None)
            return self._revalued(state, own) if isinstance(event, REVALUED) else state, []
        except Refused as error:
            state, told = facts.left_out(state, event, str(error))
            return state, [told]
        except OrderError as error:
            return facts.broken(state, str(error)), []

    def _view(self, state: State, asset: str) -> View:
        """At the last quote."""
        memory, smile = state.pasts[asset].memory, state.smiles.get(asset)
        return self.setup.market.view(state.quotes[asset], memory, smile, state.time)

    def _surfaced(self, state: State, event: SurfaceQuote) -> State:
        """Raises Refused before the asset's first quote, which says where the money is."""
        if event.asset not in state.quotes:
            raise Refused(f"volatilities of {event.asset} are listed before its first quote")
        modelled = self._view(replace(state, smiles={}), event.asset)
        return facts.surfaced(state, event, Smile.of(event.points, modelled, event.time, self.setup.market.bar))

    def _started(self, state: State, event: Started) -> State:
        """A restart leaves every order in flight unknown, drops open questions, and waits for the venue's reports."""
        if set(state.pasts) != set(self.setup.market.assets):
            return facts.broken(state, "the session's assets are not those of its journal")
        orders = {
            name: replace(unknown(order, event.time), asked_at=None, late=0) if order.reserved else order
            for name, order in state.orders.items()
        }
        question, shadow = state.question, state.shadow
        due = state.due | (question.assets if question is not None and question.binding else frozenset())
        awaited, unproven = VenueSide().awaited, frozenset(self.setup.market.symbols)
        state = replace(
            state,
            orders=orders,
            models=facts.begun(state.models, event),
            question=None,
            shadow=None if shadow is None else replace(shadow, question=None),
            due=due,
            venue=replace(state.venue, awaited=awaited, unproven=unproven, asked_at=None),
            monitors={**state.monitors, "model": _modelled(event.model)},
        )
        return self._rememberer.cold(state)

    def _bar_closed(self, state: State, event: BarClosed) -> State:
        good = state.good_bars + (state.risk < RiskState.REDUCING)
        return self._rememberer.bar_closed(self._shadower.accrued(replace(state, good_bars=good)), event)

    def _offered(self, state: State, event: ModelOffered) -> State:
        try:
            self.setup.trained(event.trained)
        except BadInput as error:
            raise Refused(str(error)) from None
        return facts.offered(state, event)

    def _deleveraged(self, state: State, event: Deleveraged) -> State:
        return hearing.deleveraged(state, event, self.setup.market.asset_of[event.symbol])

    def _operated(self, state: State, event: Operator) -> State:
        until = event.time + self.setup.config.limits.override_seconds * SECOND
        return facts.operated(state, event, until, self.setup.limited.names)

    def _heard(self, state: State, event: OrderEvent) -> State:
        config = self.setup.config
        retry = event.time + round(config.execution.slice_seconds * SECOND)
        return hearing.heard(state, event, self.setup.market, config.name, retry)

    def _reported(self, state: State, event: reconciling.Report) -> State:
        config = self.setup.config
        tolerance = config.reconcile.cash_tolerance
        state = collateral.arrived(state, event, self.setup) if isinstance(event, BalanceReport) else state
        state = reconciling.reported(state, event, config.name, self.setup.market.symbols, tolerance)
        if not isinstance(event, BalanceReport) or len(state.trusted) < len(state.pasts):
            return state
        return margining.reported(state, self.setup, self.decider.sight, event)

    def _faded(self, state: State) -> State:
        """What is priced at a listed surface too old for that falls back to the quote's volatility and the model's."""
        then = facts.faded(state, self.setup.surface_life)
        return state if then is state else self._revalued(then, None)

    def _revalued(self, state: State, asset: str | None) -> State:
        """Marks and greeks of one asset, or of all, at the last quote of each."""
        market = self.setup.market
        listings = [state.listings.get(name) for name in market.symbols]
        smiles = [state.smiles.get(name) for name in market.assets]
        fresh = {
            name: market.valued(quote, state.pasts[name].memory, smiles, state.book, listings, state.time)
            for name, quote in state.quotes.items()
            if asset is None or name == asset
        }
        state = replace(state, valuations={**state.valuations, **fresh})
        return margining.measured(state, self.setup, self.decider.sight)

    def _closed(self, state: State, event: Event) -> Question | None:
        """The open question, if the event answers it or finds it overdue."""
        question = state.question
        if question is None:
            return None
        if isinstance(event, Inference):
            return question if event.request == question.asked.request else None
        limit = self.setup.config.clocks.inference_seconds * SECOND
        return question if event.time - question.asked.time > limit else None

    def _believed(self, state: State, event: Event) -> State:
        """While no market breaker doubts, what was quoted is traded on, and the margin measured at it."""
        if not isinstance(event, QuoteEvent) or state.quotes.get(event.asset) is not event:
            return state
        if doubt(state, self.setup.breakers) is not None:
            return state
        state = replace(state, trusted=state.quotes)
        return margining.measured(state, self.setup, self.decider.sight)

    def _fallen_back(self, before: State, state: State) -> State:
        """When a breaker loses its trust in the policy and there is a last good one, that one decides."""
        policy = [name for name, each in self.setup.breakers.items() if each.kind is BreakerClass.POLICY]
        rose = [name for name in policy if state.monitors[name].level > before.monitors.get(name, Monitor()).level]
        if not rose or not state.models.last_good:
            return state
        calm = {name: replace(state.monitors[name], level=RiskState.ACTIVE, breaches=0) for name in rose}
        return replace(state, models=facts.rolled_back(state.models), monitors={**state.monitors, **calm})

    def _sliced(self, state: State) -> State:
        """Assets whose next slice is due."""
        due = {asset for asset, at in state.again.items() if at <= state.time}
        if not due:
            return state
        return replace(state.owing(*due), again={name: at for name, at in state.again.items() if name not in due})

    def _chased(self, state: State, event: Event) -> tuple[State, list[Output]]:
        """Orders without an outcome for too long are looked up; the venue is asked."""
        config = self.setup.config
        state, outputs = hearing.chased(state, self._patience)
        outputs += reconciling.strays(state, event)
        state, asked = reconciling.asked(state, event, config.clocks.reconcile_seconds, config.reconcile)
        return state, [*outputs, *asked]


def _modelled(model: str) -> Monitor:
    return Monitor() if model else Monitor(RiskState.FALLBACK, reason="no model is loaded")


def _changed(before: State, after: State) -> list[Output]:
    """Which model decides from here on; a person hears of it."""
    was, now = before.models.active, after.models.active
    if was == now or not was:
        return []
    words = f"model {now[:12]} decides in place of {was[:12]}"
    return [ModelChanged(after.time, was, now, words), Alert(after.time, words)]
