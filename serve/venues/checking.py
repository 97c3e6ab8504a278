"""What is looked at before an exchange is traded on, and what is cancelled there when nobody else can."""

from __future__ import annotations

import asyncio

from envs.types import BadInput
from serve.clock import RealClock
from serve.dialects import Raw
from serve.errors import ServeError, StartRefused
from serve.venues import wire
from serve.venues.connection import Connection
from serve.venues.lanes import Lanes
from serve.venues.settings import ExchangeSettings


class Unreached(ServeError):
    """The exchange did not do what it was asked."""


async def checked(line: Connection) -> None:
    """Loads the markets, and sees what the key may do. Raises StartRefused."""
    x, name = line.made(), line.settings.name
    try:
        await line.loaded(x)
        rights = await line.dialect.rights(x)
    except wire.AuthenticationError as error:
        raise StartRefused(f"{name} does not accept the key: {line.secrets.words(error)}") from None
    except (BadInput, ServeError):
        raise
    except Exception as error:  # a reply that is none ends in an error of any kind
        raise StartRefused(f"{name} cannot be asked what the key may do: {line.secrets.words(error)}") from None
    finally:
        await x.close()
    if not rights.trade:
        raise StartRefused(f"{name}: the key may not trade; give it that permission")
    if rights.withdraw:
        raise StartRefused(f"{name}: the key may withdraw, which hedging never needs; make one that may not")


def examined(settings: ExchangeSettings) -> str:
    """Key, permissions, instruments, connectivity and clock, in words. Raises BadInput or ServeError."""
    lanes, line = Lanes(), Connection.of(settings)
    try:
        lanes.ask(checked(line))
        for symbol in (*settings.symbols.values(), *settings.quotes.values()):
            line.unit(symbol)
        skew = lanes.ask(_skew(line)) if settings.rehearsal is None else 0
    finally:
        lanes.close()
    return f"the key may trade and not withdraw; its clock is {skew} ms from ours"


class Canceller:
    """Cancels what rests of a session's orders, over a connection of its own with a rate budget of its own."""

    def __init__(self, settings: ExchangeSettings, session: str) -> None:
        """Raises BadInput or ServeError where the exchange cannot be reached: better now than when it is needed."""
        self._lanes, self._line, self._session = Lanes(), Connection.of(settings), session
        self._lanes.ask(checked(self._line))
        self._x = self._line.made()

    def cancel(self) -> int:
        """How many there were; nobody else's are touched. Raises Unreached."""
        try:
            return self._lanes.ask(self._cancelled())
        except Exception as error:  # whatever ccxt raises, the next look tries again
            raise Unreached(f"{self._line.settings.name}: {self._line.secrets.words(error)}") from None

    def close(self) -> None:
        self._lanes.ask(self._x.close())
        self._lanes.close()

    async def _cancelled(self) -> int:
        """Each is tried, whatever becomes of the others; what fails is raised afterwards."""
        dialect, symbols = self._line.dialect, sorted(set(self._line.settings.symbols.values()))
        own = [raw for raw in await dialect.resting(self._x, symbols) if self._bears(raw)]
        tried = [dialect.cancel(self._x, raw["symbol"], dialect.named(raw), str(raw["id"])) for raw in own]
        for failed in await asyncio.gather(*tried, return_exceptions=True):
            if failed is not None and not isinstance(failed, wire.OrderNotFound):
                raise failed
        return len(own)

    def _bears(self, raw: Raw) -> bool:
        return self._line.dialect.named(raw).startswith(self._line.dialect.prefix(self._session))


async def _skew(line: Connection) -> int:
    """The least that the answer proves. Raises Unreached."""
    x, clock = line.made(), RealClock()
    try:
        began = clock.now()
        told = await line.dialect.time(x)
        return told - min(max(told, began), clock.now())
    except Exception as error:
        raise Unreached(f"{line.settings.name} does not tell its time: {line.secrets.words(error)}") from None
    finally:
        await x.close()
