"""From an owed decision to an order: ask the policy, read its answer or the analytic hedge's, and pass the limits."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from serve import codec
from serve.breaker import Asked
from serve.breakers.policy_invalid import action_fault
from serve.commands import Decision, Denied, Infer, Output, SubmitOrder
from serve.events import Event, Inference, QuoteEvent
from serve.limits import Exposure, Ruling, recent, ruled
from serve.market import Sight, Wish
from serve.orders import Order, order_id
from serve.setup import ACTIONS, Setup
from serve.state import Question, State
from serve.states import Monitor, RiskState

ANALYTIC = (0.0,) * ACTIONS  # the tuned Zakamouline band
_PRICE = Decimal("1e-8")

Acted = tuple[State, list[Output]]


class Decider:
    """Pure, like the engine that it is a part of."""

    def __init__(self, setup: Setup) -> None:
        self._setup, self._market = setup, setup.market

    def acted(self, state: State, event: Event, question: Question | None, doubt: str | None) -> Acted:
        """An answer that was waited for is acted on; an owed decision is begun as soon as nothing forbids it."""
        outputs: list[Output] = []
        if question is not None:
            state, outputs = self._answered(replace(state, question=None), event, question)
        if not state.due or not _ready(state, doubt):
            return state, outputs
        state, more = self._begun(replace(state, due=False))
        return state, outputs + more

    def _begun(self, state: State) -> Acted:
        """Without an option the hedge is closed; without a policy to trust the analytic hedge decides at once."""
        quote, option = state.trusted, state.option
        assert quote is not None
        if option is None:
            return self._closing(state, quote)
        sight = Sight(state.time, quote, state.memory, option, state.ledger.position, state.account)
        binding = state.risk is RiskState.ACTIVE
        state, outputs = self._asked(state, sight, binding)
        if binding and outputs:
            return state, outputs
        state, more = self._decided(state, "fallback", ANALYTIC, sight, "", state.strictest())
        return state, outputs + more

    def _asked(self, state: State, sight: Sight, binding: bool) -> Acted:
        """The policy is asked even when it is not followed, for its breaker to see whether it has recovered."""
        if self._setup.trained is None or state.question is not None:
            return state, []
        request = f"{self._setup.config.name}-q{state.questions_made + 1:06d}"
        features = tuple(self._market.observe(sight).features.flatten().tolist())
        question = Question(Asked(request, state.time, features), sight, binding)
        state = replace(state, question=question, questions_made=state.questions_made + 1)
        return state, [Infer(state.time, request, features)]

    def _answered(self, state: State, event: Event, question: Question) -> Acted:
        """An answer about an option that is gone is dropped: its going owes a decision of its own."""
        request, sight = question.asked.request, question.sight
        if not question.binding or state.option != sight.option:
            return state, []
        if (fault := self._fault(state, event)) is None and isinstance(event, Inference) and event.action is not None:
            return self._decided(state, "policy", event.action, sight, request, "")
        return self._decided(replace(state, due=False), "fallback", ANALYTIC, sight, request, fault or "no answer")

    def _fault(self, state: State, event: Event) -> str | None:
        """Why the answer is not followed."""
        if not isinstance(event, Inference):
            return "the policy's answer is overdue"
        if state.risk is not RiskState.ACTIVE:
            return state.strictest()
        if (fault := action_fault(event, ACTIONS)) is not None:
            return fault
        doubted = state.monitors.get("policy_invalid", Monitor()).suspicious
        return "the features are outside the trained range, not confirmed yet" if doubted else None

    def _decided(
        self,
        state: State,
        source: str,
        action: tuple[float, ...],
        sight: Sight,
        request: str,
        reason: str,
    ) -> Acted:
        seen, now = self._market.observe(sight), replace(sight, position=state.ledger.position)
        wish = self._market.wish(action, seen, now, self._setup.config.venue.lot)
        features = codec.digest(tuple(seen.features.flatten().tolist()))
        made = self._record(state, source, action, wish, features, request, reason)
        return self._sent(state, made)

    def _closing(self, state: State, quote: QuoteEvent) -> Acted:
        trade = -state.ledger.position
        if trade == 0:
            return state, []
        made = self._record(state, "close", (), Wish(0.0, 0.0, trade), "", "", "no option is left to hedge")
        return self._sent(state, made)

    def _record(
        self,
        state: State,
        source: str,
        action: tuple[float, ...],
        wish: Wish,
        observation: str,
        request: str,
        reason: str,
    ) -> Decision:
        return Decision(
            time=state.time,
            request=request,
            source=source,
            state=state.risk.name,
            reason=reason,
            observation=observation,
            model=self._setup.model,
            config=self._setup.config_sha256,
            action=action,
            lower=wish.lower,
            upper=wish.upper,
            position=state.ledger.position,
            wanted=wish.trade,
            sent=Decimal(0),
        )

    def _sent(self, state: State, made: Decision) -> Acted:
        """The decision's trade as far as the limits let it out."""
        if made.wanted == 0:
            return state, [made]
        ruling = self._ruled(state, made.wanted)
        outputs: list[Output] = [replace(made, sent=ruling.units)]
        if ruling.units != made.wanted:
            outputs.append(Denied(state.time, made.wanted - ruling.units, ruling.reason))
        if ruling.units == 0:
            return state, outputs
        order = Order(order_id(self._setup.config.name, state.orders_made + 1), ruling.units, state.time)
        state = replace(
            state,
            orders={**state.orders, order.id: order},
            orders_made=state.orders_made + 1,
            sent=(*recent(self._setup.config.limits, state.sent, state.time), state.time),
        )
        return state, [*outputs, SubmitOrder(state.time, order.id, order.units, self._limit(state, order.units))]

    def _ruled(self, state: State, wanted: Decimal) -> Ruling:
        quote = state.trusted
        assert quote is not None
        exposure = Exposure(
            position=state.ledger.position,
            buying=state.flying(1),
            selling=state.flying(-1),
            book_delta=self._book_delta(state, quote),
            spot=Decimal(repr(quote.spot)),
            mark=Decimal(repr(quote.mark)),
            sent=state.sent,
        )
        config = self._setup.config
        return ruled(config.limits, wanted, exposure, state.risk, config.venue.lot, state.time)

    def _book_delta(self, state: State, quote: QuoteEvent) -> Decimal:
        if (option := state.option) is None:
            return Decimal(0)
        return option.units * Decimal(repr(self._market.greeks(quote, state.memory, option, state.time).delta))

    def _limit(self, state: State, units: Decimal) -> Decimal:
        """The worst price that the collar allows, around the index."""
        assert state.trusted is not None
        collar = self._setup.config.limits.collar.copy_sign(units)
        return (Decimal(repr(state.trusted.spot)) * (1 + collar)).quantize(_PRICE)


def _ready(state: State, doubt: str | None) -> bool:
    """One hedge at a time, on a quote that is believed, and never while halted."""
    waiting = state.question is not None and state.question.binding
    held = doubt is not None or bool(state.in_flight) or waiting
    return not held and state.trusted is not None and state.risk is not RiskState.HALTED
