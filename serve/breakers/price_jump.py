"""Trips when the price moves further between quotes than its volatility explains."""

from __future__ import annotations

import math
from typing import ClassVar

from envs.calibration import Positive
from serve.breaker import Recollection, View
from serve.clock import SECOND, YEAR
from serve.events import QuoteEvent
from serve.states import BreakerClass, Discipline, Finding
from serve.threshold import Above, worst


class PriceJump:
    """Moves of the oracle's price, from that at the last quote that was believed: one bad tick clears itself and a real
    jump does not, and an index that moves alone is for `oracle_deviation`.

    The recollection is, for each asset, that price and quote's time, and the number of doubted quotes since: what one
    asset's quote makes doubtful, another's does not clear.
    """

    class Settings(Discipline):
        fraction: Above  # |log move|, whatever the volatility
        sigmas: Above  # in units of filtered volatility times √time between the quotes
        shortest_seconds: Positive  # the time between quotes counts as at least this

    kind: ClassVar = BreakerClass.DATA

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def judge(self, view: View, memory: Recollection) -> tuple[Finding | None, Recollection]:
        if not isinstance(view.event, QuoteEvent):
            return None, memory
        quote, assets = view.event, sorted(view.market_open)
        memory = memory or (0.0,) * 3 * len(assets)
        place = 3 * assets.index(quote.asset)
        price, volatility = view.prices[quote.asset].value, view.volatility.get(quote.asset)
        finding, own = self._judged(quote, price, memory[place : place + 3], volatility)
        memory = (*memory[:place], *own, *memory[place + 3 :])
        doubted_elsewhere = any(memory[k] > 0 for k in range(2, len(memory), 3) if k != place + 2)
        return (None if finding is not None and not finding.breached and doubted_elsewhere else finding), memory

    def _judged(
        self, quote: QuoteEvent, price: float, own: Recollection, volatility: float | None
    ) -> tuple[Finding | None, Recollection]:
        """One asset's; a price of 0 stands for none seen yet."""
        if own[0] == 0:
            return None, (price, float(quote.quoted_at), 0.0)
        finding = self._measure(quote, price, own, volatility)
        doubted = own[2] + 1 if finding.breached else 0.0
        if finding.breached and doubted < self.settings.confirmations:
            return finding, (own[0], own[1], doubted)
        return finding, (price, float(quote.quoted_at), 0.0)

    def _measure(self, quote: QuoteEvent, price: float, memory: Recollection, volatility: float | None) -> Finding:
        limits, move = self.settings, abs(math.log(price / memory[0]))
        elapsed = max(quote.quoted_at - memory[1], limits.shortest_seconds * SECOND)
        sigmas = 0.0 if volatility is None else move / (volatility * math.sqrt(elapsed / YEAR))
        words = f"price went from {memory[0]:.2f} to {price:.2f} in {elapsed / SECOND:.0f} s: "
        words += f"{move:.2%} and {sigmas:.1f} sigmas, limits {limits.fraction.entry:.2%} and {limits.sigmas.entry:g}"
        return worst((limits.fraction.finding(move, words), limits.sigmas.finding(sigmas, words)))
