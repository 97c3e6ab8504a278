"""Funding of the paper venue's perpetuals."""

from __future__ import annotations

from decimal import Decimal

from serve.clock import YEAR
from serve.events import BarClosed, Event, FundingPaid, QuoteEvent
from serve.ledger import Ledger
from serve.market import Market
from serve.venues.matching import CENT_PARTS
from serve.venues.screen import Screen


class Accrual:
    """Paid at the mark and rate of the quote that a stretch began with; longs pay a positive rate."""

    def __init__(self, screen: Screen) -> None:
        self._screen, self._market = screen, screen.market
        self._since: dict[str, tuple[int, QuoteEvent]] = {}  # by asset: up to when it is paid, and the quote of then

    def begun(self, quote: QuoteEvent) -> None:
        """An asset's first quote."""
        self._since.setdefault(quote.asset, (quote.time, quote))

    def paid(self, now: int, asset: str, ledger: Ledger) -> tuple[FundingPaid, ...]:
        """An asset's since the last call."""
        since = self._since.get(asset)
        self.settled(now, asset)
        if since is None or now <= since[0]:
            return ()
        before, quote = since
        each = Decimal(quote.mark) * (Decimal(quote.funding_rate) * (now - before) / YEAR)
        held = [(symbol, ledger.position(symbol)) for symbol in self._paying(self._market, asset)]
        return tuple(FundingPaid(now, s, -(units * each).quantize(CENT_PARTS)) for s, units in held if units != 0)

    def settled(self, now: int, asset: str) -> None:
        """An asset's funding is paid up to now."""
        if asset in self._screen.quotes:
            self._since[asset] = (now, self._screen.quotes[asset])

    def remembered(self, event: Event) -> None:
        """What was journalled before a restart: funding was paid up to a bar's end, and to each payment."""
        if isinstance(event, FundingPaid):
            self.settled(event.time, self._market.asset_of[event.symbol])
        elif isinstance(event, BarClosed):
            for asset in self._market.assets:
                self.settled(event.time, asset)

    @staticmethod
    def _paying(market: Market, asset: str) -> list[str]:
        return [name for name, own in market.asset_of.items() if own == asset and market.pays_funding(name)]
