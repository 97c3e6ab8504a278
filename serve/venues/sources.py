"""What other exchanges say an asset is worth: their public tickers, for the price oracle."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

from serve import dialects
from serve.clock import SECOND, Clock
from serve.events import Malformed, SourcePrice
from serve.venues.connection import Connection
from serve.venues.ordering import Tell
from serve.venues.secrets import Secrets
from serve.venues.settings import ExchangeSettings
from serve.venues.streams import BIRTH

PAUSE = 1.0  # seconds on the wall before a source is connected to anew
LOOK = 0.05  # seconds on the wall between looks at how long one has been silent
EVERY = SECOND  # between two prices of one source, at least


class Other:
    """Another exchange. `tell`: hears the index of each asset that `settings.sources` names there."""

    def __init__(self, settings: ExchangeSettings, name: str, tell: Tell, clock: Clock) -> None:
        own = settings.model_copy(update={"name": name})
        self._line, self._symbols = Connection(own, dialects.load(name), Secrets({})), settings.sources[name]
        self._name, self._tell, self._clock = name, tell, clock
        self._last: dict[str, int] = {}
        self._awaited = set[str]()  # assets that the life at hand has not priced
        self._born = asyncio.Event()

    async def run(self) -> None:
        """For ever, connected to anew where anything fails."""
        while True:
            asyncio.get_running_loop().call_later(BIRTH, self._born.set)
            self._awaited = {*self._symbols}
            x = self._line.made()
            try:
                await self._line.loaded(x)
                await asyncio.gather(*(self._prices(x, asset, symbol) for asset, symbol in self._symbols.items()))
            except Exception as error:  # one source less, which the oracle sees by its age
                self._tell(Malformed(0, self._name, "source", self._line.secrets.words(error)))
            finally:
                await x.close()
            self._born.clear()
            await asyncio.sleep(PAUSE)

    async def born(self) -> None:
        """Returns once the life at hand has priced every asset, or takes too long."""
        await self._born.wait()

    async def _prices(self, x: Any, asset: str, symbol: str) -> None:
        """Raises what ccxt does, and TimeoutError after a silence."""
        while True:
            ticker = await self._heard(self._line.dialect.ticker(x, symbol))
            now = self._clock.now()
            if now - self._last.get(asset, -EVERY) >= EVERY:
                self._last[asset] = now
                reading = self._line.dialect.reading(ticker)
                self._tell(SourcePrice(0, asset, self._name, reading.index, reading.time))
            self._awaited.discard(asset)
            if not self._awaited:
                self._born.set()

    async def _heard(self, ticker: Coroutine[Any, Any, Mapping[str, Any]]) -> Mapping[str, Any]:
        """By our clock, which in a rehearsal is not the wall's."""
        awaited, since = asyncio.ensure_future(ticker), self._clock.now()
        try:
            while not awaited.done():
                await asyncio.wait((awaited,), timeout=LOOK)
                if self._clock.now() - since > self._line.settings.silence_seconds * SECOND:
                    raise TimeoutError(f"silent for {(self._clock.now() - since) / SECOND:g} s")
            return awaited.result()
        finally:
            awaited.cancel()
