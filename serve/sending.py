"""From what a decision wants to the orders that the limits let out."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from serve import hearing
from serve.clock import SECOND
from serve.collateral import over
from serve.commands import Decision, Denied, Intent, Output, SubmitOrder
from serve.executing import Climate, Collar, limit_price, shrunk, slice_size
from serve.exposure import exact, within
from serve.frozen import replace
from serve.limits import Exposure, Limit, Rule, Ruling, recent, ruled
from serve.orders import Order, order_id
from serve.resting import rests, touch
from serve.setup import Setup
from serve.state import State
from serve.states import RiskState

Acted = tuple[State, list[Output]]
UNWINDS = ("close", "protect")  # decisions that only shrink positions


@dataclass(frozen=True)
class Sender:
    setup: Setup

    def sent(self, state: State, made: Decision) -> Acted:
        """The decision with what was sent of each leg, then the orders, then what was denied."""
        market, orders, denials = self.setup.market, list[Output](), list[Output]()
        intents = {intent.symbol: intent for intent in made.legs}
        clipped, missing = set[str](), dict[str, float]()
        for symbol in sorted(intents, key=market.linear):  # options first
            asset = market.asset_of[symbol]
            intent = self._stretched(state, intents[symbol], made.source, missing)
            if intent.wanted == 0:
                continue
            ruling = self._ruled(state, intent, made.source)
            intents[symbol] = replace(intent, sent=ruling.units)
            if (short := intent.wanted - ruling.units) != 0:
                if not market.linear(symbol):
                    missing[asset] = missing.get(asset, 0.0) + self._delta(state, symbol, short)
                price = self.setup.prices(state)[asset] if ruling.collared else None
                denials.append(Denied(state.time, symbol, short, ruling.reason, price))
                if ruling.again or ruling.units != 0:
                    clipped.add(asset)
            if ruling.units != 0:
                state, order = self._ordered(state, symbol, ruling.units, made.source)
                orders.append(order)
        if orders:
            state = replace(state, record=hearing.executed(state.record, state.time))
        state = replace(state, again={**state.again, **dict.fromkeys(clipped, self.retry(state))})
        return state, [replace(made, legs=tuple(intents.values())), *denials, *orders]

    def _stretched(self, state: State, intent: Intent, source: str, missing: dict[str, float]) -> Intent:
        """Of a linear leg: with the delta that the asset's options were to bring and may not, in whole lots."""
        market, asset = self.setup.market, self.setup.market.asset_of[intent.symbol]
        if not market.linear(intent.symbol) or source in UNWINDS or within(state, asset):
            return intent
        lots = missing.pop(asset, 0.0) / self._delta(state, intent.symbol, market.lot(intent.symbol))
        return replace(intent, wanted=intent.wanted + round(lots) * market.lot(intent.symbol))

    def _delta(self, state: State, symbol: str, units: Decimal) -> float:
        asset = self.setup.market.asset_of[symbol]
        return float(units) * state.valuations[asset].legs[symbol].delta

    def retry(self, state: State) -> int:
        """When the next slice is due."""
        return state.time + round(self.setup.config.execution.slice_seconds * SECOND)

    def _ordered(self, state: State, symbol: str, units: Decimal, source: str) -> tuple[State, SubmitOrder]:
        config, market = self.setup.config, self.setup.market
        name, works = order_id(config.name, state.orders_made + 1), config.execution
        waits = rests(works, state, market, symbol, source)
        life = works.resting_seconds if waits else config.clocks.order_life_seconds
        expires = state.time + round(life * SECOND)
        collar = Collar(self._worth(state, symbol), config.limits.collar)
        worst = limit_price(works, state, market, symbol, units, collar)
        price = touch(state, market, symbol, units) if waits else worst
        order = Order(name, symbol, units, state.time, expires, state.mark(symbol), rests=waits)
        crosses = any(each.symbol == symbol and each.left * units < 0 for each in state.reserved)
        state = replace(
            state,
            orders={**state.orders, name: order},
            orders_made=state.orders_made + 1,
            record=hearing.sent(state.record, state.time, crosses),
        )
        return state, SubmitOrder(
            state.time,
            name,
            symbol,
            units,
            price,
            expires,
            source in UNWINDS,
            waits,
            self._venue(state, symbol, source),
        )

    def _venue(self, state: State, symbol: str, source: str) -> str:
        return over(state)[symbol].venue if source == "protect" else ""

    def _ruled(self, state: State, intent: Intent, source: str) -> Ruling:
        config, market, limited = self.setup.config, self.setup.market, self.setup.limited
        symbol, asset = intent.symbol, market.asset_of[intent.symbol]
        legs = config.limits.legs[symbol]
        shrink, share = shrunk(config.execution, Climate.of(state, market, asset)), limited.share(state)
        capped = () if source == "protect" else limited.margin(state, symbol)
        exposure = Exposure(
            symbol=symbol,
            lot=market.lot(symbol),
            position=limited.position(state, symbol),
            measures=(*limited.measures(state, symbol), *capped),
            mark=state.mark(symbol),
            largest=Limit(soft=legs.order.soft * shrink * share, hard=legs.order.hard * shrink),
            value=config.limits.order_value.ramped(share),
            slice=slice_size(config.execution, state, market, symbol),
            basis=self._basis(state, symbol),
            sent=recent(config.limits, state.record.sent, state.time),
            overridden=frozenset(name for name, until in state.overrides.items() if until > state.time),
        )
        return ruled(config.limits, intent.wanted, exposure, _rule(state, source), state.time)

    def _basis(self, state: State, symbol: str) -> Decimal | None:
        """How far a linear leg's mark is from the oracle's price."""
        return abs(state.mark(symbol) / self._worth(state, symbol) - 1) if self.setup.market.linear(symbol) else None

    def _worth(self, state: State, symbol: str) -> Decimal:
        """Of the leg's asset, by the oracle."""
        return exact(self.setup.prices(state)[self.setup.market.asset_of[symbol]].value)


def _rule(state: State, source: str) -> Rule:
    """A person's flatten runs from HALTED too, and only ever shrinks; so does what protects from liquidation.

    What shrinks one of several accounts may grow our whole position: there the venue alone can see that it shrinks.
    """
    if source == "protect" and len(state.venue.accounts) > 1:
        return Rule.FREE
    if source == "protect" or (source == "close" and state.flatten is not None):
        return Rule.UNWINDING
    if source == "flatten":
        return Rule.SHRINKING if state.risk >= RiskState.REDUCING else Rule.FREE
    if state.risk is RiskState.HALTED:
        return Rule.CLOSED
    return Rule.SHRINKING if state.risk is RiskState.REDUCING else Rule.FREE
