"""Quotes of an exchange as they come, beside what else it tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from serve.clock import Clock
from serve.coalescing import Coalescing
from serve.events import Event, QuoteEvent
from serve.feed import QuoteModel
from serve.venues.exchange import Tick

POLL = 20  # milliseconds on the wall between looks at what has come


class Source(Protocol):
    def passed(self, now: int) -> list[Event]: ...

    def ticks(self) -> list[Tick]: ...


class Live:
    """What a ticker lacks comes from the model. It ends at `ends`, where the exchange does."""

    def __init__(
        self, source: Source, models: Mapping[str, QuoteModel], clock: Clock, bar: int, ends: int | None
    ) -> None:
        self._source, self._models, self._clock, self._bar, self._ends = source, models, clock, bar, ends
        self._waiting = Coalescing()
        self._last: dict[str, QuoteEvent] = {}

    @property
    def ended(self) -> bool:
        return self._ends is not None and self._clock.now() >= self._ends and not len(self._waiting)

    def next(self, until: int) -> Event | None:
        while True:
            now = self._clock.now()
            self._heard(now)
            if len(self._waiting):
                return self._waiting.take()
            if now >= until or self.ended:
                return None
            self._clock.wait_until(min(until, self._clock.ahead(POLL)))

    def _heard(self, now: int) -> None:
        for event in self._source.passed(now):
            self._waiting.put(event)
        for tick in self._source.ticks():
            self._waiting.put(self._quoted(tick, now))

    def _quoted(self, tick: Tick, now: int) -> QuoteEvent:
        model, last, reading = self._models[tick.asset], self._last.get(tick.asset), tick.reading
        if last is not None and reading.time // self._bar > last.quoted_at // self._bar:
            model.closed(last.spot)
        told = {"mark": reading.mark, "half_spread": tick.half_spread, "depth": tick.depth}
        made = {**vars(model.quote(now, reading.index)), **told, "funding_rate": reading.funding_rate}
        self._last[tick.asset] = QuoteEvent(**{**made, "quoted_at": reading.time})
        return self._last[tick.asset]
