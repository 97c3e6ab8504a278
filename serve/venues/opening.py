"""Opening an exchange: every check that a session needs before it trades there."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from envs.types import BadInput
from serve.clock import Clock, RealClock
from serve.config import ServeConfig
from serve.errors import ServeError, StartRefused
from serve.events import Event, History, Started
from serve.feed import QuoteModel
from serve.market import Listing, Market
from serve.rehearsal.clock import RehearsalClock
from serve.setup import listings
from serve.source import Source
from serve.state import State
from serve.venues.checking import checked
from serve.venues.connection import Connection
from serve.venues.exchange import Exchange
from serve.venues.floor import Place, Sent
from serve.venues.instruments import Instruments
from serve.venues.lanes import Lanes
from serve.venues.live import Live
from serve.venues.settings import ExchangeSettings
from serve.venues.tracks import Tracks

INSTANCE = 5  # hexadecimal digits that tell this database's orders from another's
TIMEFRAMES = {60_000: "1m", 900_000: "15m", 3_600_000: "1h", 14_400_000: "4h", 86_400_000: "1d"}


def placed(
    config: ServeConfig, market: Market, source: Source, state: State | None, past: Sequence[Event], sent: Sent
) -> Place:
    """The exchange that the settings name, and its quotes. Raises BadInput or StartRefused."""
    settings = config.venue
    assert isinstance(settings, ExchangeSettings), "the settings say who places them"
    lanes, before, begun = Lanes(), told(past), list[Exchange]()
    instance = str(before.get("instance") or secrets.token_hex(INSTANCE)[:INSTANCE])
    with ExitStack() as failed:
        failed.callback(lanes.close)
        clock = clock_of(settings.rehearsal, lambda: rested(begun))  # one that was killed has time to come back
        until = ends(settings.rehearsal)
        listed = {**listings(config), **({} if state is None else state.listings)}
        exchange, contracts = part(settings, market, (config.name, instance), before, listed, lanes, clock)
        failed.pop_all()
        failed.callback(exchange.close)
        histories = warmed(exchange, market, config.clocks.warmup_bars, clock.now())
        armed(config, exchange)
        exchange.begin(past, sent)
        begun.append(exchange)
        failed.pop_all()
    models = {each.asset: QuoteModel(market, each.asset, each.closes) for each in histories}
    feed = Live(exchange, models, clock, market.bar, until)
    return Place(exchange, feed, clock, histories, json.dumps({"instance": instance, "contracts": contracts}))


def part(
    settings: ExchangeSettings,
    market: Market,
    named: tuple[str, str],
    before: Mapping[str, Any],
    listed: Mapping[str, Listing],
    lanes: Lanes,
    clock: Clock,
) -> tuple[Exchange, dict[str, str]]:
    """One exchange, checked, and its contracts. `named`: the session's name and instance; `before`: of the journal's
    last session there; `listed`: by option leg.
    """
    line = Connection.of(settings)
    lanes.ask(checked(line))
    line.remember(before.get("contracts", {}))
    instruments = Instruments.of(line, market)
    for leg, listing in listed.items():
        instruments.listed(leg, listing)
    contracts = instruments.contracts(before.get("contracts", {}))
    return Exchange(line, lanes, instruments, Tracks(line.dialect, *named), clock), contracts


def armed(config: ServeConfig, exchange: Exchange) -> None:
    """Raises StartRefused where orders would rest and the exchange does not take the dead man's switch."""
    if config.execution.resting_seconds > 0:
        exchange.arm()


def warmed(exchange: Exchange, market: Market, bars: int, now: int) -> tuple[History, ...]:
    """Closes of as many bars as the exchange has, up to those that the filters want. Raises StartRefused."""
    found = []
    for asset in market.assets:
        try:
            candles = exchange.candles(asset, TIMEFRAMES[market.bar], now - (bars + 2) * market.bar, bars + 2)
            closed = _unbroken([row for row in candles if row[0] + market.bar <= now], market.bar)
            closes = tuple(float(row[4]) for row in closed[-bars - 1 :])
        except (BadInput, ServeError):
            raise
        except Exception as error:  # a reply that is none ends in an error of any kind
            raise StartRefused(f"the exchange's candles of {asset} cannot be read: {type(error).__name__}") from None
        if len(closed) < 2:
            raise StartRefused(f"the exchange has no candles of {asset}, which the filters are warmed up with")
        found.append(History(now, asset, int(closed[-1][0]) + market.bar, closes))
    return tuple(found)


def told(past: Sequence[Event]) -> dict[str, Any]:
    """What the last session kept of its venue."""
    texts = [event.venue for event in past if isinstance(event, Started) and event.venue]
    found: dict[str, Any] = json.loads(texts[-1]) if texts else {}
    return found


def rested(each: Sequence[Exchange]) -> None:
    """What a rehearsal's clock waits for before it goes on."""
    for one in each:
        one.rest()


def clock_of(rehearsal: str | None, settle: Callable[[], None]) -> Clock:
    return RealClock() if rehearsal is None else RehearsalClock(rehearsal, settle)


def ends(rehearsal: str | None) -> int | None:
    """When a rehearsal does, by its clock; the market itself never does. Raises StartRefused where it is not there."""
    if rehearsal is None:
        return None
    at = urlsplit(rehearsal)
    try:
        with closing(HTTPConnection(str(at.hostname), at.port or 0, timeout=10)) as line:
            line.request("GET", "/control/status")
            return int(json.loads(line.getresponse().read())["ends"])
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        raise StartRefused(f"there is no rehearsal at {rehearsal}; start one with `rehedge rehearse`") from None


def _unbroken(candles: list[list[float]], bar: int) -> list[list[float]]:
    """The last of them that follow one another."""
    first = len(candles) - 1
    while first > 0 and candles[first][0] - candles[first - 1][0] == bar:
        first -= 1
    return candles[max(first, 0) :]
