"""From an owed decision to orders: ask the policy, read its answer or the analytic hedge's, and pass the limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from envs.decision import NARROWEST, WIDEST
from serve import codec
from serve.breaker import Asked
from serve.breakers.policy_invalid import action_fault
from serve.collateral import Excess, over
from serve.commands import Decision, Infer, Intent, Output
from serve.events import BarClosed, BookSettled, BookTraded, Event, Inference
from serve.executing import Climate, width
from serve.exposure import within
from serve.frozen import replace
from serve.market import Seen, Sight, Wish
from serve.sending import Acted, Sender
from serve.setup import Setup
from serve.shadowing import Shadower
from serve.state import Flatten, Question, State
from serve.states import Monitor, RiskState

Source = Literal["policy", "last_good", "fallback", "protect", "close", "flatten"]
CLOSED_BAND = (0.0, -1.0)  # an action whose band has all but no width: the neutral hedge


class Decider:
    """Pure, like the engine that it is a part of."""

    def __init__(self, setup: Setup) -> None:
        self._setup, self._market = setup, setup.market
        self._sender, self._shadower = Sender(setup), Shadower(setup)

    def acted(self, state: State, event: Event, question: Question | None, doubt: str | None) -> Acted:
        """An answer that was waited for is acted on; an owed decision is begun as soon as nothing forbids it."""
        outputs: list[Output] = []
        if question is not None:
            state, outputs = self._answered(replace(state, question=None), event, question)
        ready = frozenset() if _followed(event) else self._ready(state, doubt)
        if not ready:
            return state, outputs
        state, more = self._begun(replace(state, due=state.due - ready), ready)
        return state, outputs + more

    def _ready(self, state: State, doubt: str | None) -> frozenset[str]:
        """Assets to decide on: one hedge at a time for each, on quotes that are believed and fresh, never while halted.

        To close by a person's word needs no quote to know how much goes, and does not wait for one.
        """
        flatten = state.flatten
        if flatten is None and state.risk is RiskState.HALTED:
            return frozenset()
        if flatten is not None and flatten.stage != "reducing":
            return frozenset()
        waiting = state.question is not None and state.question.binding
        unseen = len(state.trusted) < len(state.pasts)
        if doubt is not None or waiting or unseen or state.venue.awaited:
            return frozenset()
        unsure = {order.symbol for order in state.in_flight} | state.venue.unproven
        ready = state.due - {self._market.asset_of[symbol] for symbol in unsure}
        if flatten is not None and flatten.mode == "close":
            return ready
        return frozenset(a for a in ready if state.time - state.trusted[a].quoted_at <= self._setup.quote_life)

    def _begun(self, state: State, ready: frozenset[str]) -> Acted:
        """Without a book the hedges are closed; without a policy to trust the analytic hedge decides at once."""
        if state.flatten is not None:
            return self._flattened(state, state.flatten, ready)
        if not state.book.holdings:
            return self._closing(state, ready, "nothing is left to hedge")
        if excess := {k: v for k, v in over(state).items() if self._market.asset_of[k] in ready}:
            return self._protected(state, excess)
        seen = self._market.observe(self.sight(state))
        binding = state.risk is RiskState.ACTIVE
        state, outputs = self._asked(state, seen, state.models.active, binding, ready)
        if binding and outputs:
            return state, outputs
        state, more = self._decided(state, "fallback", self.analytic(state), seen, ready, "", state.strictest())
        return state, outputs + more

    def _asked(self, state: State, seen: Seen, model: str, binding: bool, ready: frozenset[str]) -> Acted:
        """The policy is asked even when it is not followed, for its breaker to see whether it has recovered."""
        if not model or state.question is not None:
            return state, []
        request = f"{self._setup.config.name}-q{state.questions_made + 1:06d}"
        question = Question(Asked(request, state.time, model, seen.features), seen, binding, ready)
        state = replace(state, question=question, questions_made=state.questions_made + 1)
        state, shadow = self._shadower.asked(state, seen.sight, request, ready)
        return state, [Infer(state.time, request, model, question.asked.features), *shadow]

    def _answered(self, state: State, event: Event, question: Question) -> Acted:
        """An answer about a book that has changed since is dropped: the change owes a decision of its own."""
        asked, seen, ready = question.asked, question.seen, question.assets
        if not question.binding:
            return self._watched(state, event, question), []
        if state.book is not seen.sight.book:
            return state.owing(*ready), []
        fault = self._fault(state, event)
        if fault is None and isinstance(event, Inference) and event.action is not None:
            source: Source = "policy" if asked.model == state.models.active else "last_good"
            return self._decided(state, source, event.action, seen, ready, asked.request, "", asked.model)
        spare = state.models.last_good
        if spare and asked.model == state.models.active and state.risk is RiskState.ACTIVE:
            return self._asked(state, seen, spare, True, ready)
        state, analytic = replace(state, due=state.due - ready), self.analytic(state)
        return self._decided(state, "fallback", analytic, seen, ready, asked.request, fault or "no answer")

    def _watched(self, state: State, event: Event, question: Question) -> State:
        """How far the policy would have been from the analytic hedge, had it been followed."""
        if not isinstance(event, Inference) or event.action is None or action_fault(event, self._market.actions):
            return state
        wishes = self._wishes(state, event.action, question.seen, question.assets)
        return self._compared(state, wishes, question.seen, question.assets)

    def _fault(self, state: State, event: Event) -> str | None:
        """Why the answer is not followed."""
        if not isinstance(event, Inference):
            return "the policy's answer is overdue"
        if state.risk is not RiskState.ACTIVE:
            return state.strictest()
        if (fault := action_fault(event, self._market.actions)) is not None:
            return fault
        doubted = state.monitors.get("policy_invalid", Monitor()).suspicious
        return "the features are outside the trained range, not confirmed yet" if doubted else None

    def analytic(self, state: State) -> tuple[float, ...]:
        """The tuned classical bands, wider in calm and tighter in stress by the settings' rule."""
        action: list[float] = []
        for symbol in self._market.symbols:
            climate = Climate.of(state, self._market, self._market.asset_of[symbol])
            log_width = math.log(width(self._setup.config.bands, climate))
            action += [0.0, log_width / (WIDEST if log_width > 0 else -NARROWEST)]
        return tuple(action)

    def _decided(
        self,
        state: State,
        source: Source,
        action: Sequence[float],
        seen: Seen,
        ready: frozenset[str],
        request: str,
        reason: str,
        model: str = "",
    ) -> Acted:
        wishes = self._wishes(state, action, seen, ready)
        if source in ("policy", "last_good"):
            state = self._compared(state, wishes, seen, ready)
        features = codec.digest(seen.features)
        made = self._record(state, source, tuple(action), wishes, features, request, reason, model)
        return self._sender.sent(state, made)

    def _wishes(self, state: State, action: Sequence[float], seen: Seen, ready: frozenset[str]) -> tuple[Wish, ...]:
        """Nothing is wanted of legs whose asset waits, nor within an asset's thresholds."""
        market = self._market
        out = {symbol for symbol in market.symbols if market.asset_of[symbol] not in ready}
        positions = tuple(state.ledger.position(symbol) for symbol in market.symbols)
        wishes = market.wishes(action, seen, positions, out)
        idle = {asset for asset in ready if within(state, asset)}
        named = zip(market.symbols, wishes, strict=True)
        return tuple(
            replace(wish, trade=wish.trade * 0) if market.linear(s) and market.asset_of[s] in idle else wish
            for s, wish in named
        )

    def _compared(self, state: State, wishes: Sequence[Wish], seen: Seen, ready: frozenset[str]) -> State:
        """How far the policy's trades are from the analytic hedge's, over base units."""
        other = self._wishes(state, self.analytic(state), seen, ready)
        market, book = self._market, seen.sight.book
        names = list(market.assets)
        bases = [market.base(book, names[asset], seen.sight.quotes[asset].spot) for asset in market.leg_assets]
        apart = [abs(float(a.trade - b.trade)) / base for a, b, base in zip(wishes, other, bases, strict=True)]
        return replace(state, record=replace(state.record, disagreement=(state.time, max(apart))))

    def _closing(self, state: State, ready: frozenset[str], reason: str) -> Acted:
        """Every leg of the assets that are ready goes."""
        market = self._market
        state, shadow = self._shadower.closed(state, self.sight(state))
        positions = {s: state.ledger.position(s) if market.asset_of[s] in ready else 0 for s in market.symbols}
        if not any(positions.values()):
            return state, shadow
        wishes = tuple(
            Wish(0.0, 0.0, -state.ledger.position(s) if positions[s] else market.lot(s) * 0) for s in positions
        )
        made = self._record(state, "close", (), wishes, "", "", reason)
        state, outputs = self._sender.sent(state, made)
        return state, shadow + outputs

    def _protected(self, state: State, excess: Mapping[str, Excess]) -> Acted:
        """What the margin does not carry goes; the hedge is decided anew on what is left, at the next slice."""
        lots = {symbol: self._market.lot(symbol) for symbol in self._market.symbols}
        trades = {symbol: each.units for symbol, each in excess.items()}
        wishes = [Wish(0.0, 0.0, trades.get(symbol, 0 * lot)) for symbol, lot in lots.items()]
        reason = ", ".join(f"{state.ledger.position(k) + trade:f} {k}" for k, trade in trades.items())
        return self._sender.sent(state, self._record(state, "protect", (), wishes, "", "", f"margin carries {reason}"))

    def _flattened(self, state: State, flatten: Flatten, ready: frozenset[str]) -> Acted:
        """Again at every slice until nothing more is wanted, which is then to be confirmed."""
        reason = f"{flatten.who}: {flatten.mode}"
        if flatten.mode == "close" or not state.book.holdings:
            state, outputs = self._closing(state, ready, reason)
        else:
            seen, action = self._market.observe(self.sight(state)), CLOSED_BAND * len(self._market.symbols)
            state, outputs = self._decided(state, "flatten", action, seen, ready, "", reason)
        wanted = any(leg.wanted for made in outputs if isinstance(made, Decision) for leg in made.legs)
        if wanted or state.reserved or ready < frozenset(state.pasts):
            again = dict.fromkeys(ready, self._sender.retry(state))
            return replace(state, again={**state.again, **again}), outputs
        return replace(state, flatten=replace(flatten, stage="confirming", since=state.time)), outputs

    def sight(self, state: State) -> Sight:
        """The margin accounts count from when the book was last empty."""
        ledger, opening, market = state.ledger, state.opening, self._market
        accounts = {symbol: ledger.account(symbol) for symbol in market.symbols}
        return Sight(
            time=state.time,
            quotes=tuple(state.trusted[name] for name in market.assets),
            memories=tuple(state.pasts[name].memory for name in market.assets),
            book=state.book,
            positions=tuple(each.position for each in accounts.values()),
            cash=tuple(
                each.cash - opening.worth.get(symbol, 0) + opening.posted.get(symbol, 0)
                for symbol, each in accounts.items()
            ),
            claims_cash=ledger.book - opening.book,
            coins=tuple(ledger.coins.get(name, ledger.book * 0) for name in market.assets),
            listings=tuple(state.listings.get(symbol) for symbol in market.symbols),
            targets=tuple(state.targets[name] for name in market.assets),
            smiles=tuple(state.smiles.get(name) for name in market.assets),
        )

    def _record(
        self,
        state: State,
        source: Source,
        action: tuple[float, ...],
        wishes: Sequence[Wish],
        observation: str,
        request: str,
        reason: str,
        model: str = "",
    ) -> Decision:
        legs = tuple(
            Intent(symbol, wish.lower, wish.upper, state.ledger.position(symbol), wish.trade, wish.trade * 0)
            for symbol, wish in zip(self._market.symbols, wishes, strict=True)
        )
        return Decision(
            time=state.time,
            request=request,
            source=source,
            state=state.risk.name,
            reason=reason,
            observation=observation,
            model=model,
            config=self._setup.config_sha256,
            limits=self._setup.limits_sha256,
            action=action,
            legs=legs,
            prices=tuple(self._setup.prices(state).values()),
        )


def _followed(event: Event) -> bool:
    """Whether more comes at once that belongs to it: a decision in between would be of half a change."""
    return isinstance(event, BarClosed) or (isinstance(event, BookTraded | BookSettled) and event.more)
