"""The book to hedge, as events: the task's call sold at its mark, settled at expiry, sold again if it rolls."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import cast

from envs.volatility.memory import Memory
from serve.config import Desk as Settings
from serve.events import Event, OptionSettled, OptionTraded, QuoteEvent
from serve.market import Market

_CENT_PARTS = Decimal("1e-8")


class Desk:
    def __init__(self, settings: Settings, market: Market) -> None:
        self._settings, self._market = settings, market
        self._option: OptionTraded | None = None
        self._sold = 0

    def remember(self, events: list[Event]) -> None:
        """What the journal says this desk did before a restart."""
        for event in events:
            if isinstance(event, OptionTraded):
                self._option, self._sold = event, self._sold + 1
            elif isinstance(event, OptionSettled):
                self._option = None

    def saw(self, quote: QuoteEvent, memory: Memory) -> tuple[Event, ...]:
        """What the desk does at this quote, with what is remembered of the bars before it."""
        if self._option is not None:
            return self._settled(self._option, quote) if quote.time >= self._option.expiry else ()
        return (self._sell(quote, memory),) if self._sold == 0 or self._settings.roll else ()

    def _sell(self, quote: QuoteEvent, memory: Memory) -> OptionTraded:
        """Expiry on the bar grid, the contract's life away."""
        market, bar = self._market, self._market.bar
        units = Decimal(cast(float, market.claim.units)) * Decimal(market.contract.notional) / Decimal(quote.spot)
        units = units.quantize(_CENT_PARTS)
        expiry = (quote.time // bar + market.contract.bars) * bar
        strike = quote.spot * cast(float, market.call.moneyness)
        self._sold += 1
        bare = OptionTraded(quote.time, f"call-{self._sold}", strike, expiry, units, Decimal(0))
        value = market.greeks(quote, memory, bare, quote.time).value
        self._option = replace(bare, premium=(-units * Decimal(value)).quantize(_CENT_PARTS))
        return self._option

    def _settled(self, option: OptionTraded, quote: QuoteEvent) -> tuple[Event, ...]:
        self._option = None
        payoff = Decimal(max(0.0, quote.spot - option.strike))
        cash = (option.units * payoff).quantize(_CENT_PARTS) + 0  # no negative zero
        return (OptionSettled(quote.time, option.option, quote.spot, cash),)
