"""Ways to one exchange: ccxt instances that share its markets, each with a throttle of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any
from urllib.parse import urlsplit

from envs.types import BadInput
from serve import dialects
from serve.dialects import Dialect, Heard, Raw
from serve.errors import StartRefused
from serve.rehearsal.protocols import DESK
from serve.venues import secrets as safe
from serve.venues.secrets import Secrets
from serve.venues.settings import AccountSettings, ExchangeSettings

HURRY = 1  # milliseconds between requests in a rehearsal, which has a rate budget of its own


@dataclass
class Connection:
    """`markets`: by ccxt's symbol, once they are `loaded`."""

    settings: ExchangeSettings
    dialect: Dialect
    secrets: Secrets
    markets: Mapping[str, Raw] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: ExchangeSettings) -> Connection:
        """Raises BadInput where there is no such exchange, or its keys are not at hand."""
        dialect = dialects.load(settings.name)
        held = (
            safe.rehearsed(dialect.credentials) if settings.rehearsal else safe.read(settings.keys, dialect.credentials)
        )
        return cls(settings, dialect, held)

    @classmethod
    def watching(cls, account: AccountSettings) -> Connection:
        """To look at an account alone. Raises as `of`."""
        dialect = dialects.load(account.exchange)
        held = (
            safe.rehearsed(dialect.watching, DESK)
            if account.rehearsal
            else safe.read(account.keys, dialect.watching, "book.account.keys")
        )
        return cls(account.reached, dialect, held)

    def made(self, heard: Heard | None = None) -> Any:
        """One more way. Raises BadInput where a rehearsal would reach beyond this machine."""
        terms: dict[str, Any] = {**self.secrets.shown(), "enableRateLimit": True}
        terms["timeout"] = round(self.settings.timeout_seconds * 1000)
        address = self.settings.rehearsal
        if address is not None:
            terms |= {"urls": {"api": self.dialect.urls(address)}, "rateLimit": HURRY}
        x = self.dialect.made(terms, heard)
        if address is not None and (
            away := [url for url in _urls(x.urls["api"]) if urlsplit(url).hostname != "127.0.0.1"]
        ):
            raise BadInput(
                f"{self.settings.name}: a rehearsal would reach {away[0]}; its dialect must override that address"
            )
        if self.markets:
            x.set_markets(list(self.markets.values()))
        return x

    async def loaded(self, x: Any) -> None:
        """Raises StartRefused where the exchange does not list its instruments."""
        try:
            self.markets = dict(await x.load_markets())
        except Exception as error:
            raise StartRefused(f"{self.settings.name} cannot be reached: {self.secrets.words(error)}") from None

    def remember(self, traded: Iterable[str]) -> None:
        """What a leg traded before and is listed no more, so that how it ended is still found."""
        legs = {symbol for symbol in traded if symbol in self.settings.symbols.values()}
        found = {symbol: self.dialect.ended(self.markets, symbol) for symbol in legs - self.markets.keys()}
        self.markets = {**self.markets, **{symbol: market for symbol, market in found.items() if market is not None}}

    def market(self, symbol: str) -> Raw:
        """Raises BadInput for an instrument that the exchange does not have."""
        if symbol not in self.markets:
            base = symbol.split("/")[0]
            near = ", ".join(sorted(name for name in self.markets if name.startswith(f"{base}/"))[:3])
            raise BadInput(f"{self.settings.name} has no {symbol}; have {near or 'nothing of ' + base}")
        return self.markets[symbol]

    def unit(self, symbol: str) -> Decimal:
        """Base units in one of ccxt's amount."""
        return self.dialect.unit(self.market(symbol))

    def priced(self, symbol: str, limit: Decimal, buy: bool) -> Decimal:
        """A limit on the exchange's grid, and never worse."""
        tick = Decimal(str(self.market(symbol)["precision"]["price"]))
        return (limit / tick).to_integral_value(ROUND_FLOOR if buy else ROUND_CEILING) * tick


def expired(market: Raw, now: int) -> bool:
    """`now`: milliseconds."""
    expiry = market.get("expiry")
    return expiry is not None and int(expiry) <= now


def _urls(found: Any) -> Iterator[str]:
    if isinstance(found, Mapping):
        for each in found.values():
            yield from _urls(each)
    elif isinstance(found, str):
        yield found
