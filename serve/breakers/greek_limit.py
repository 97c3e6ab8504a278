"""Trips when book and hedges together carry more risk than they may, however they came by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from serve.breaker import View
from serve.events import QuoteEvent
from serve.states import BreakerClass, Discipline, Finding
from serve.threshold import WHOLE, Above, Gauge, worst


class GreekLimit(Gauge):
    """A second line behind the limits on orders, in money over all assets; the first that is passed decides."""

    class Settings(Discipline):
        delta: Above  # |delta| at the spot, quote currency, summed over assets
        gamma: Above  # |change of that delta| per 1 % of spot, quote currency
        vega: Above  # quote currency per volatility point
        stress_loss: Above  # quote currency

    settings: Settings
    kind: ClassVar = BreakerClass.LIMITS
    hears: ClassVar = (QuoteEvent,)

    def findings(self, view: View) -> Mapping[str, Finding]:
        each = list(self._each(view))
        return {WHOLE: worst(each)} if each else {}

    def _each(self, view: View) -> Iterator[Finding]:
        limits = self.settings
        if view.delta:
            yield _judged("delta", _money(view, view.delta), limits.delta)
            yield _judged("gamma", _money(view, view.gamma), limits.gamma)
            yield _judged("vega", sum(map(abs, view.vega.values())), limits.vega)
        if view.stress_loss is not None:
            yield _judged("stress loss", view.stress_loss, limits.stress_loss)


def _money(view: View, units: Mapping[str, float]) -> float:
    return sum(abs(size) * view.quotes[asset].spot for asset, size in units.items())


def _judged(name: str, size: float, limit: Above) -> Finding:
    return limit.finding(size, f"{name} is {size:,.0f}, limit {limit.entry:,.0f}")
