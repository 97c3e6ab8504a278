"""Our side of an exchange in the test's own event loop: real ccxt, and what it makes us tell the core."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from serve.clock import VirtualClock
from serve.commands import SubmitOrder
from serve.events import Event
from serve.rehearsal.faults import Fault
from serve.venues.connection import Connection
from serve.venues.ordering import Ordering
from serve.venues.settings import ExchangeSettings
from serve.venues.tracks import Tracks
from tests.serve.dialects.house import CALL, START, TRADED, House, house

LEG, PERP = "BTC-PERP", "BTC/USDC:USDC"
SESSION, INSTANCE = "desk", "a1b2c"
E = TypeVar("E", bound=Event)


def settings(address: str, **changes: Any) -> ExchangeSettings:
    raw: dict[str, Any] = {
        "name": "deribit",
        "keys": {"environment": {"apiKey": "NO_KEY", "secret": "NO_SECRET"}},
        "symbols": {LEG: PERP},
        "quotes": {"BTC": PERP},
        "rehearsal": address,
        "timeout_seconds": 10,
        "silence_seconds": 300,
        "poll_seconds": 600,
        "surface_seconds": 0,
        "dead_man_seconds": 600,
    }
    return ExchangeSettings.model_validate(raw | changes)


@dataclass
class Desk:
    house: House
    line: Connection
    tracks: Tracks
    ordering: Ordering
    told: list[Event] = field(default_factory=list)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.told if isinstance(event, kind)]

    def arm(self, kind: str, milliseconds: int = 0) -> None:
        now = self.house.floor.now
        self.house.faults.add(Fault(kind, now, now + milliseconds))

    def placed(self) -> list[Any]:
        """Our orders at the exchange itself."""
        return [each for each in self.house.floor.exchange.orders(TRADED) if each.client_id]

    @property
    def position(self) -> Decimal:
        held = self.house.floor.exchange.account(TRADED).positions
        return next((each.units for each in held if each.instrument == LEG), Decimal(0))


def buys(units: str = "0.1", limit: str = "85000", number: int = 1, **terms: Any) -> SubmitOrder:
    return SubmitOrder(
        START, f"{SESSION}-{number:06d}", LEG, Decimal(units), Decimal(limit), START + 30_000, False, **terms
    )


@asynccontextmanager
async def opened(tmp_path: Path, name: str = "deribit") -> AsyncIterator[Desk]:
    async with house(name, tmp_path, CALL) as own:
        line = Connection.of(settings(own.address, name=name))
        x = line.made()
        await line.loaded(x)
        await x.close()
        told: list[Event] = []
        tracks = Tracks(line.dialect, SESSION, INSTANCE)
        ordering = Ordering(line, tracks, {LEG: PERP}, told.append, VirtualClock(START))
        try:
            yield Desk(own, line, tracks, ordering, told)
        finally:
            await ordering.close()
