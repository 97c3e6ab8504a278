"""Shadow mode: a challenger decides on the same inputs and its own hedge; its orders fill in the shared model alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

import torch

from envs import costs
from envs.costs import Schedule
from serve import codec
from serve.breakers.policy_invalid import action_fault
from serve.clock import YEAR
from serve.commands import Infer, Intent, Output, ShadowDecision
from serve.events import Inference
from serve.exposure import exact
from serve.holdings import DTYPE
from serve.market import DEVICE, Sight
from serve.setup import Setup
from serve.state import Shadow, ShadowQuestion, State

_CENT_PARTS = Decimal("1e-8")


@dataclass(frozen=True)
class Shadower:
    setup: Setup

    def asked(self, state: State, real: Sight, request: str, assets: frozenset[str]) -> tuple[State, list[Output]]:
        """The challenger's own question, on the market and book of the real one and the shadow's positions."""
        shadow = state.shadow
        if shadow is None:
            return state, []
        accounts = [shadow.ledger.account(symbol) for symbol in self.setup.market.symbols]
        starts = [state.opening.worth.get(symbol, 0) for symbol in self.setup.market.symbols]
        cash = tuple(each.cash - start for each, start in zip(accounts, starts, strict=True))
        seen = self.setup.market.observe(replace(real, positions=tuple(a.position for a in accounts), cash=cash))
        name = f"{request}-shadow"
        shadow = replace(self._measured(state, self.paid(state, shadow)), question=ShadowQuestion(name, seen, assets))
        return replace(state, shadow=shadow), [Infer(state.time, name, shadow.model, seen.features)]

    def answered(self, state: State, event: Inference) -> tuple[State, list[Output]]:
        """What the challenger would have traded, filled at once at the quotes it saw; a fault trades nothing."""
        shadow = state.shadow
        if shadow is None or shadow.question is None or shadow.question.request != event.request:
            return state, []
        question, market = shadow.question, self.setup.market
        if action_fault(event, market.actions) is not None or event.action is None:
            return replace(state, shadow=replace(shadow, question=None, faults=shadow.faults + 1)), []
        out = {symbol for symbol in market.symbols if market.asset_of[symbol] not in question.assets}
        sight = question.seen.sight
        wishes = market.wishes(event.action, question.seen, sight.positions, out)
        filled = self.filled(shadow, sight, tuple(wish.trade for wish in wishes))
        legs = tuple(
            Intent(symbol, wish.lower, wish.upper, held, wish.trade, wish.trade)
            for symbol, wish, held in zip(market.symbols, wishes, sight.positions, strict=True)
        )
        ahead = self.ahead(state, filled)
        made = ShadowDecision(
            state.time, event.request, shadow.model, codec.digest(question.seen.features), event.action, legs, ahead
        )
        return replace(state, shadow=replace(filled, question=None)), [made]

    def closed(self, state: State, sight: Sight) -> tuple[State, list[Output]]:
        """The shadow's legs go with the book, as ours do."""
        shadow = state.shadow
        if shadow is None:
            return state, []
        trades = tuple(-shadow.ledger.position(symbol) for symbol in self.setup.market.symbols)
        if not any(trades):
            return state, []
        return replace(state, shadow=self.filled(self._measured(state, self.paid(state, shadow)), sight, trades)), []

    def accrued(self, state: State) -> State:
        """A bar's funding of the shadow's perpetuals, at the mark and rate that the bar began with."""
        if state.shadow is None:
            return state
        return replace(state, shadow=replace(self.paid(state, state.shadow), began=dict(state.quotes)))

    def paid(self, state: State, shadow: Shadow) -> Shadow:
        """With the funding since it was last paid."""
        ledger, market = shadow.ledger, self.setup.market
        years = Decimal(state.time - shadow.paid_at) / YEAR
        for symbol in market.symbols:
            began = shadow.began.get(market.asset_of[symbol])
            if market.pays_funding(symbol) and began is not None:
                paid = ledger.position(symbol) * exact(began.mark) * exact(began.funding_rate) * years
                ledger = ledger.funded(symbol, -paid.quantize(_CENT_PARTS))
        return replace(shadow, ledger=ledger, began={**state.quotes, **shadow.began}, paid_at=state.time)

    def filled(self, shadow: Shadow, sight: Sight, trades: tuple[Decimal, ...]) -> Shadow:
        market = self.setup.market
        tradable = market.situation(sight).traded
        before = [shadow.ledger.account(symbol).traded for symbol in market.symbols]
        units, traded = (torch.tensor([[[float(v) for v in values]]], dtype=DTYPE) for values in (trades, before))
        schedule = Schedule.of([hedge.execution for hedge in market.contract.hedges], DTYPE, DEVICE)
        fill = costs.fills(schedule, tradable, units, traded)
        prices, fees = fill.price[0, 0].tolist(), (fill.fee + fill.gas).expand_as(units)[0, 0].tolist()
        ledger = shadow.ledger
        for symbol, trade, price, fee in zip(market.symbols, trades, prices, fees, strict=True):
            if trade != 0:
                amounts = (Decimal(value).quantize(_CENT_PARTS) for value in (price, fee))
                ledger = ledger.filled(symbol, trade, *amounts)
        return replace(shadow, ledger=ledger)

    def ahead(self, state: State, shadow: Shadow) -> float:
        """The shadow's hedge less ours, at their marks."""
        apart = Decimal(0)
        for symbol in self.setup.market.symbols:
            mark = state.mark(symbol)
            apart += shadow.ledger.account(symbol).worth(mark) - state.ledger.account(symbol).worth(mark)
        return float(apart)

    def _measured(self, state: State, shadow: Shadow) -> Shadow:
        """One more pair: what the challenger gained on us since the decision before (Welford's sums)."""
        ahead = self.ahead(state, shadow)
        gain, count = ahead - shadow.ahead, shadow.pairs + 1
        mean = shadow.mean + (gain - shadow.mean) / count
        squares = shadow.squares + (gain - shadow.mean) * (gain - mean)
        return replace(shadow, pairs=count, mean=mean, squares=squares, ahead=ahead)
