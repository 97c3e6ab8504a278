"""The market as the paper venue shows it: the last quotes, what their past leaves behind, and the listed options."""

from __future__ import annotations

from collections.abc import Mapping

from envs.costs import Tradable
from envs.instrument import View
from envs.types import Greeks
from envs.volatility.memory import Memory
from serve.events import QuoteEvent
from serve.market import Listing, Market
from serve.smile import Smile


class Screen:
    def __init__(self, market: Market) -> None:
        self.market = market
        self.quotes: dict[str, QuoteEvent] = {}  # by asset
        self.memories: dict[str, Memory] = {}
        self.listings: dict[str, Listing] = {}  # by symbol
        self.smiles: Mapping[str, Smile] = {}

    @property
    def whole(self) -> bool:
        """Every asset is quoted."""
        return len(self.quotes) == len(self.market.assets)

    def show(self, quote: QuoteEvent, memory: Memory) -> None:
        self.quotes[quote.asset], self.memories[quote.asset] = quote, memory

    def remembered(self, memories: Mapping[str, Memory]) -> None:
        """What each asset's past leaves behind after one more bar."""
        self.memories.update({asset: memories[asset] for asset in self.quotes})

    def quote(self, symbol: str) -> QuoteEvent:
        """Of the asset under a leg."""
        return self.quotes[self.market.asset_of[symbol]]

    def closed(self, symbol: str, now: int) -> str | None:
        """Why a leg cannot be traded, in words."""
        if self.market.asset_of[symbol] not in self.quotes:
            return "no market yet"
        leg = self.market.symbols.index(symbol)
        return None if self.market.listed(leg, self.listings.get(symbol), now) else f"{symbol} is not listed"

    def tradable(self, symbol: str, now: int) -> Tradable:
        """What an order for one leg meets."""
        greeks, view = self._seen(symbol, now)
        instrument = self.market.contract.hedges[self.market.symbols.index(symbol)].instrument
        congestion = view.quote.congestion[:, None]
        return Tradable(greeks.value, instrument.half_spread(greeks, view), instrument.depth(greeks, view), congestion)

    def mark(self, symbol: str, now: int) -> float:
        """Of one unit of a leg."""
        return float(self._seen(symbol, now)[0].value)

    def reach(self, symbol: str, now: int, buying: bool) -> float:
        """The mark furthest towards a resting order since the quote before; of an option, its mark of now."""
        quote, mark = self.quote(symbol), self.mark(symbol, now)
        if not self.market.linear(symbol):
            return mark
        return mark / quote.spot * (min(quote.low, quote.spot) if buying else max(quote.high, quote.spot))

    def _seen(self, symbol: str, now: int) -> tuple[Greeks, View]:
        market, leg = self.market, self.market.symbols.index(symbol)
        name, instrument, quote = market.asset_of[symbol], market.contract.hedges[leg].instrument, self.quote(symbol)
        view = market.view(quote, self.memories[name], self.smiles.get(name), now)
        return instrument.greeks(market.leg_terms(leg, self.listings.get(symbol), quote.spot, now), view), view
