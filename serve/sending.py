"""From what a decision wants to the orders that the limits let out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from serve import hearing
from serve.clock import SECOND
from serve.commands import Decision, Denied, Intent, Output, SubmitOrder
from serve.executing import Climate, limit_price, shrunk, slice_size
from serve.exposure import exact
from serve.limits import Exposure, Limit, Rule, Ruling, recent, ruled
from serve.orders import Order, order_id
from serve.setup import Setup
from serve.state import State
from serve.states import RiskState

Acted = tuple[State, list[Output]]


@dataclass(frozen=True)
class Sender:
    setup: Setup

    def sent(self, state: State, made: Decision) -> Acted:
        """The decision with what was sent of each leg, then the orders, then what was denied."""
        orders, denials, intents = list[Output](), list[Output](), list[Intent]()
        clipped: set[str] = set()
        for intent in made.legs:
            if intent.wanted == 0:
                intents.append(intent)
                continue
            ruling = self._ruled(state, intent, made.source)
            intents.append(replace(intent, sent=ruling.units))
            if ruling.units != intent.wanted:
                denials.append(Denied(state.time, intent.symbol, intent.wanted - ruling.units, ruling.reason))
                if ruling.again or ruling.units != 0:
                    clipped.add(self.setup.market.asset_of[intent.symbol])
            if ruling.units != 0:
                state, order = self._ordered(state, intent.symbol, ruling.units, made.source == "close")
                orders.append(order)
        if orders:
            state = replace(state, record=hearing.executed(state.record, state.time))
        state = replace(state, again={**state.again, **dict.fromkeys(clipped, self.retry(state))})
        return state, [replace(made, legs=tuple(intents)), *denials, *orders]

    def retry(self, state: State) -> int:
        """When the next slice is due."""
        return state.time + round(self.setup.config.execution.slice_seconds * SECOND)

    def _ordered(self, state: State, symbol: str, units: Decimal, unwinding: bool) -> tuple[State, SubmitOrder]:
        config, market = self.setup.config, self.setup.market
        name = order_id(config.name, state.orders_made + 1)
        expires = state.time + round(config.clocks.order_life_seconds * SECOND)
        price = limit_price(config.execution, state, market, symbol, units, config.limits.collar)
        order = Order(name, symbol, units, state.time, expires, state.mark(symbol))
        crosses = any(each.symbol == symbol and each.left * units < 0 for each in state.reserved)
        state = replace(
            state,
            orders={**state.orders, name: order},
            orders_made=state.orders_made + 1,
            record=hearing.sent(state.record, state.time, crosses),
        )
        return state, SubmitOrder(state.time, name, symbol, units, price, expires, reduce_only=unwinding)

    def _ruled(self, state: State, intent: Intent, source: str) -> Ruling:
        config, market, limited = self.setup.config, self.setup.market, self.setup.limited
        symbol, asset = intent.symbol, market.asset_of[intent.symbol]
        legs = config.limits.legs[symbol]
        shrink = shrunk(config.execution, Climate.of(state, market, asset))
        exposure = Exposure(
            symbol=symbol,
            lot=market.lot(symbol),
            position=limited.position(state, symbol),
            measures=limited.measures(state, symbol),
            mark=state.mark(symbol),
            largest=Limit(soft=legs.order.soft * shrink, hard=legs.order.hard * shrink),
            slice=slice_size(config.execution, state, market, symbol),
            basis=self._basis(state, symbol),
            sent=recent(config.limits, state.record.sent, state.time),
            overridden=frozenset(name for name, until in state.overrides.items() if until > state.time),
        )
        return ruled(config.limits, intent.wanted, exposure, _rule(state, source), state.time)

    def _basis(self, state: State, symbol: str) -> Decimal | None:
        """How far a linear leg's mark is from the index."""
        if not self.setup.market.linear(symbol):
            return None
        spot = exact(state.valuations[self.setup.market.asset_of[symbol]].spot)
        return abs(state.mark(symbol) / spot - 1)


def _rule(state: State, source: str) -> Rule:
    """A person's flatten runs from HALTED too, and only ever shrinks."""
    if source == "close" and state.flatten is not None:
        return Rule.UNWINDING
    if source == "flatten":
        return Rule.SHRINKING if state.risk >= RiskState.REDUCING else Rule.FREE
    if state.risk is RiskState.HALTED:
        return Rule.CLOSED
    return Rule.SHRINKING if state.risk is RiskState.REDUCING else Rule.FREE
