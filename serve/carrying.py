"""What holding a book's perpetuals and spot pays on paper: their funding, and whether that is worth holding them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from decimal import Decimal

from agents.carry import Threshold
from serve.clock import DAY, YEAR
from serve.events import BookFunded, QuoteEvent
from serve.holding import Holding

CENT_PARTS = Decimal("1e-8")


class Funding:
    """Of perpetuals held elsewhere: a bar's at the mark and rate that it began with; longs pay a positive rate."""

    def __init__(self, bar: int, recorded: Mapping[int, float]) -> None:
        """`bar`: milliseconds. `recorded`: per year by the day since 1970; else they are paid as the leg is."""
        self._bar, self._recorded, self._began = bar, recorded, dict[str, QuoteEvent]()

    def rate(self, quote: QuoteEvent) -> float:
        """Per year, as of the quote."""
        return self._recorded.get(quote.time // DAY, quote.funding_rate)

    def saw(self, quote: QuoteEvent, holdings: Iterable[Holding]) -> tuple[BookFunded, ...]:
        """What is paid at this quote, which may end a bar."""
        before = self._began.setdefault(quote.asset, quote)
        if quote.time % self._bar or before is quote:
            return ()
        self._began[quote.asset] = quote
        each = Decimal(before.mark) * (Decimal(self.rate(before)) * (quote.time - before.time) / YEAR)
        held = [one for one in holdings if one.kind == "perpetual" and one.asset == quote.asset]
        return tuple(BookFunded(quote.time, one.id, -(one.units * each).quantize(CENT_PARTS)) for one in held)


class Signal:
    """Whether the threshold rule holds its trade: nothing before it has seen as many days as it looks back."""

    def __init__(self, rule: Threshold, bar: int) -> None:
        self._rule, self._bar, self.on = rule, bar, False
        self._rates = deque[float](maxlen=rule.days * DAY // bar)

    def saw(self, now: int, rate: float) -> None:
        """What the trade earns per year; it looks at the ends of bars alone."""
        if now % self._bar:
            return
        self._rates.append(rate)
        if len(self._rates) == self._rates.maxlen:
            self.on = self._rule.held(sum(self._rates) / len(self._rates), self.on)
