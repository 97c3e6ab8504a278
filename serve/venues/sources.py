"""What other exchanges say an asset is worth: their public tickers, for the price oracle."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from serve import dialects
from serve.clock import SECOND, Clock
from serve.events import Malformed, SourcePrice
from serve.venues.connection import Connection
from serve.venues.ordering import Tell
from serve.venues.secrets import Secrets
from serve.venues.settings import ExchangeSettings

PAUSE = 1.0  # seconds on the wall before a source is connected to anew
EVERY = SECOND  # between two prices of one source, at least


async def heard(settings: ExchangeSettings, source: str, tell: Tell, clock: Clock) -> None:
    """For ever: the index of each asset that `settings.sources` names there, connected to anew where anything fails."""
    own = settings.model_copy(update={"name": source})
    line, last = Connection(own, dialects.load(source), Secrets({})), dict[str, int]()
    while True:
        x = line.made()
        try:
            await line.loaded(x)
            each = settings.sources[source].items()
            await asyncio.gather(*(_prices(line, x, asset, symbol, last, tell, clock) for asset, symbol in each))
        except Exception as error:  # one source less, which the oracle sees by its age
            tell(Malformed(0, source, "source", line.secrets.words(error)))
        finally:
            await x.close()
        await asyncio.sleep(PAUSE)


async def _prices(
    line: Connection, x: Any, asset: str, symbol: str, last: dict[str, int], tell: Tell, clock: Clock
) -> None:
    """Raises what ccxt does, and TimeoutError after a silence."""
    while True:
        ticker: Mapping[str, Any] = await asyncio.wait_for(
            line.dialect.ticker(x, symbol), line.settings.silence_seconds
        )
        now = clock.now()
        if now - last.get(asset, -EVERY) >= EVERY:
            last[asset] = now
            reading = line.dialect.reading(ticker)
            tell(SourcePrice(0, asset, line.settings.name, reading.index, reading.time))
