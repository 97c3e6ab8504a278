"""What a rehearsal is: when, how long, on whose prices, by whose protocol, with which faults, and where it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from serve.clock import DAY
from serve.rehearsal import protocols
from serve.rehearsal.faults import Faults, schedule
from serve.rehearsal.floor import Floor
from serve.rehearsal.listing import listed
from serve.rehearsal.market import Market, Scenario
from serve.rehearsal.protocols import DESK, TRADER, Spoken
from serve.rehearsal.record import Recorded
from serve.rehearsal.server import Server
from serve.rehearsal.types import CancelAll, Rules, Transfer

FUNDS = Decimal(2_000_000)  # quote currency that the hedger begins with
RECORD, FAULTS, PORT = "exchange.jsonl", "faults.jsonl", "port"


@dataclass(frozen=True)
class Plan:
    folder: Path
    assets: tuple[str, ...]  # by name; the first has options
    protocol: str  # whose rules hold; all are spoken
    first: int  # milliseconds
    days: int
    seed: int
    faults: tuple[str, ...]

    @property
    def ends(self) -> int:
        return self.first + self.days * DAY

    def _rules(self, market: Market, spoken: Spoken) -> Rules:
        return Rules(
            listed(market.spots(), market.starts), self.seed, unique_ids=spoken.unique_ids, funding=spoken.funding
        )

    @contextmanager
    def opened(self) -> Iterator[Server]:
        """The exchange as its folder's record leaves it, or new. Raises BadInput."""
        ruling = protocols.load(self.protocol)
        data = tuple((asset, asset.lower()) for asset in self.assets)
        market = Market(Scenario(self.first, self.days * 24, data, self.seed))
        recorded = Recorded(self.folder / RECORD, self._rules(market, ruling))
        if recorded.commands == 0:
            for key in (TRADER, DESK):
                recorded.apply(Transfer(self.first - 1, key.account, recorded.exchange.rules.currency, FUNDS))
        for account in (TRADER.account, DESK.account):  # whose connections did not live through a restart
            for connection in sorted({each.connection for each in recorded.exchange.open_orders(account)} - {""}):
                recorded.apply(CancelAll(recorded.exchange.now, account, None, connection))
        for _ in market.commands(recorded.exchange.now):  # was applied before a restart
            pass
        faults = Faults(schedule(self.faults, self.seed, self.first, self.ends), self.folder / FAULTS)
        floor = Floor(recorded, market, faults)
        for _ in floor.advance(floor.now):  # the market is there when the first asks
            floor.news()
        spoken = [protocols.load(name) for name in protocols.names()]
        try:
            yield Server(floor, faults, spoken, self.first, self.ends)
        finally:
            faults.close()
            recorded.close()
