"""What an exchange keeps of its past, asked for through ccxt a page at a time; no other file here knows ccxt."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from envs.types import BadInput

HOUR = 3_600_000  # milliseconds
PAGE = 1000  # rows that are asked for at most
RETRIES, DELAY = 4, 1000  # of a request that did not come through, milliseconds apart
UNTIL = {"okx": "after"}  # what a page's end is called, where it is not `until`
PERPETUALS = {"hyperliquid": {"fetchMarkets": {"types": ["swap"]}}}  # of which no spot market need be known
FUNDED = {"deribit": "interest_1h"}  # what an hour was paid, where `fundingRate` is another rate of that time

Row = tuple[float | None, ...]  # milliseconds first
Page = tuple[int, tuple[Row, ...]]  # the time up to which all is known now, and what was found


@dataclass(frozen=True)
class Request:
    """`bars` that start, or `funding` that was paid, from `first` to before `last`, in milliseconds since 1970."""

    exchange: str
    symbol: str  # ccxt's, such as BTC/USDC:USDC
    what: Literal["bars", "funding"]
    bars: str  # length of a bar, such as 1h
    first: int
    last: int


class Failed(Exception):
    """The exchange could not be reached, or its answer not be read: one line."""


class VenueHistory:
    def __init__(self, request: Request, address: str | None = None) -> None:
        """`address`: scheme, host and port that stand in for the exchange's own.

        Raises BadInput for an exchange, symbol or length of bars that is unknown, for history that the exchange does
        not give, and for times that are still to come; Failed where it cannot be asked.
        """
        self._venue, self.request = _venue(request, address), request
        method = "fetchOHLCV" if request.what == "bars" else "fetchFundingRateHistory"
        if not self._venue.has.get(method):
            raise BadInput(f"{request.exchange} gives no history of {request.what}; choose another exchange")
        self._called(self._venue.load_markets)
        if request.symbol not in self._venue.markets:
            raise BadInput(f"{request.exchange} has no {request.symbol!r}; {self._alike()}")
        self.step = self._step()
        self._span = self._limit() * self.step
        if (now := self._now()) < request.last:
            raise BadInput(
                f"--to is later than {self._venue.iso8601(now)}, the time at {request.exchange}; choose an earlier one"
            )

    def pages(self, since: int) -> Iterator[Page]:
        """All from `since` on, oldest first. Raises Failed, after which a later call may go on."""
        last = self.request.last // self.step * self.step  # of bars: the one at hand is not whole
        while since < last:
            until = min(since + self._span, last)
            found = self._called(self._bars if self.request.what == "bars" else self._funding, since, until)
            yield until, tuple(row for row in found if since <= (row[0] or 0) < until)
            since = until

    def _bars(self, since: int, until: int) -> list[Row]:
        one, count = self.request, (until - since) // self.step
        rows = self._venue.fetch_ohlcv(one.symbol, one.bars, since, count, {"until": until})
        return [tuple(row) for row in rows]

    def _funding(self, since: int, until: int) -> list[Row]:
        end = {UNTIL.get(self.request.exchange, "until"): until}
        rows = self._venue.fetch_funding_rate_history(self.request.symbol, since, self._limit(), end)
        paid = FUNDED.get(self.request.exchange)
        return [(row["timestamp"], row["fundingRate"] if paid is None else float(row["info"][paid])) for row in rows]

    def _step(self) -> int:
        """Milliseconds from one row to the next, at the least."""
        if self.request.what == "funding":
            return HOUR
        lengths = self._venue.timeframes
        if self.request.bars not in lengths:
            raise BadInput(f"--bars {self.request.bars}: {self.request.exchange} has {', '.join(lengths)}")
        return int(self._venue.parse_timeframe(self.request.bars)) * 1000

    def _limit(self) -> int:
        method = "fetchOHLCV" if self.request.what == "bars" else "fetchFundingRateHistory"
        return min(PAGE, int(self._venue.feature_value(self.request.symbol, method, "limit") or 100))

    def _now(self) -> int:
        venue = self._venue
        return int(self._called(venue.fetch_time) if venue.has.get("fetchTime") else venue.milliseconds())

    def _alike(self) -> str:
        """What may have been meant."""
        base = self.request.symbol.partition("/")[0].upper()
        found = [one["symbol"] for one in self._venue.markets.values() if one["base"] == base and one["swap"]]
        return f"of {base} it has {', '.join(sorted(found)[:6])}" if found else "write it as BTC/USDT:USDT or BTC/USDT"

    def _called(self, method: Callable[..., Any], *arguments: Any) -> Any:
        errors = importlib.import_module("ccxt").BaseError
        try:
            return method(*arguments)
        except (errors, TypeError, KeyError) as error:  # a page of HTML where JSON was due is a TypeError
            reason = " ".join(str(error).split())[:200]
            raise Failed(f"{self.request.exchange}: {type(error).__name__} ({reason})") from error


def _venue(request: Request, address: str | None) -> Any:
    name = request.exchange
    try:
        ccxt = importlib.import_module("ccxt")
    except ModuleNotFoundError:
        raise BadInput("fetching needs ccxt, which is not installed; pip install 'rehedge[live]'") from None
    if name not in ccxt.exchanges:
        near = [each for each in ccxt.exchanges if each.startswith(name[:3])]
        raise BadInput(f"no exchange is named {name!r}; ccxt has {', '.join(near[:8]) or 'deribit, okx, binanceusdm'}")
    own = PERPETUALS.get(name, {}) if ":" in request.symbol else {}
    options = {"maxRetriesOnFailure": RETRIES, "maxRetriesOnFailureDelay": DELAY, **own}
    venue = getattr(ccxt, name)({"options": options})
    if address is not None:
        venue.urls["api"] = _moved(venue.urls["api"], address.rstrip("/"))
    return venue


def _moved(urls: Any, address: str) -> Any:
    """Every URL at `address`, its path kept."""
    if isinstance(urls, dict):
        return {name: _moved(each, address) for name, each in urls.items()}
    return re.sub(r"^\w+://[^/]+", address, urls)
