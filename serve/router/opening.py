"""Opening several exchanges as one venue."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from envs.types import BadInput
from serve.clock import Clock
from serve.config import ServeConfig
from serve.errors import StartRefused
from serve.events import Event
from serve.feed import QuoteModel
from serve.market import Listing, Market
from serve.router.clocks import Together
from serve.router.marks import unmarked
from serve.router.settings import Routing
from serve.router.venue import Routed
from serve.setup import listings
from serve.source import Source
from serve.state import State
from serve.venues.exchange import Account, Exchange
from serve.venues.floor import Place, Sent
from serve.venues.lanes import Lanes
from serve.venues.live import Live
from serve.venues.opening import INSTANCE, armed, clock_of, ends, part, rested, told, warmed


def placed(
    config: ServeConfig, market: Market, source: Source, state: State | None, past: Sequence[Event], sent: Sent
) -> Place:
    """The exchanges that the settings name; the first of them warms the filters up.

    Raises BadInput for routes that do not fit the legs, and what opening an exchange raises.
    """
    settings = config.venue
    assert isinstance(settings, Routing), "the settings say who places them"
    _checked(settings, market)
    before, lanes, begun = told(past), {venue: Lanes() for venue in settings.venues}, dict[str, list[Exchange]]()
    parts = dict[str, Exchange]()
    instance = str(before.get("instance") or secrets.token_hex(INSTANCE)[:INSTANCE])
    try:
        clock = _clock(settings, begun)
        listed = {**listings(config), **({} if state is None else state.listings)}
        kept = _opened(parts, settings, market, (config.name, instance), before, listed, lanes, clock)
        separate(parts)
        histories = warmed(next(iter(parts.values())), market, config.clocks.warmup_bars, clock.now())
        for venue, exchange in parts.items():
            armed(config, exchange)
            exchange.begin(tuple(unmarked(past, venue)), sent)
            begun[venue].append(exchange)
    except BaseException:
        for venue, own in lanes.items():
            parts.get(venue, own).close()
        raise
    floor = Routed(parts, settings, {leg: market.lot(leg) for leg in market.symbols})
    floor.remember(past, sent, state)
    models = {each.asset: QuoteModel(market, each.asset, each.closes) for each in histories}
    last = [end for each in settings.exchanges if (end := ends(each.rehearsal)) is not None]
    feed = Live(floor, models, clock, market.bar, min(last, default=None))
    return Place(floor, feed, clock, histories, json.dumps({"instance": instance, "venues": kept}))


def _opened(
    parts: dict[str, Exchange],
    settings: Routing,
    market: Market,
    named: tuple[str, str],
    before: Mapping[str, Any],
    listed: Mapping[str, Listing],
    lanes: Mapping[str, Lanes],
    clock: Clock,
) -> dict[str, Any]:
    """What is kept of each exchange until the next session; they are put into `parts`."""
    kept = dict[str, Any]()
    for venue, own in settings.venues.items():
        last = before.get("venues", {}).get(venue, {})
        parts[venue], contracts = part(own, market, named, last, listed, lanes[venue], clock)
        kept[venue] = {"contracts": contracts}
    return kept


def separate(parts: Mapping[str, Exchange]) -> None:
    """Raises StartRefused where two of them are one account: what it holds would count twice."""
    seen = dict[Account, str]()
    for venue, exchange in parts.items():
        if (other := seen.setdefault(exchange.account(), venue)) != venue:
            raise StartRefused(f"venue.venues: {other} and {venue} are one account; give each an account of its own")


def _checked(settings: Routing, market: Market) -> None:
    """Raises BadInput where a leg has no route, or a route no leg."""
    for leg in market.symbols:
        if leg not in settings.routes:
            raise BadInput(f"venue.routes.{leg} is missing; name the venues that it is traded at")
    for leg in settings.routes:
        if leg not in market.symbols:
            raise BadInput(f"venue.routes.{leg} is no leg; have {', '.join(market.symbols)}")
    places = [each.rehearsal for each in settings.exchanges]
    if any(places) and (None in places or len(set(places)) < len(places)):
        raise BadInput("venue.venues: give each exchange a rehearsal of its own, or none of them any")


def _clock(settings: Routing, begun: dict[str, list[Exchange]]) -> Clock:
    """The machine's, or that of the rehearsals, each of which waits for what is `begun` of its own exchange."""
    clocks = []
    for venue, each in settings.venues.items():
        own = begun.setdefault(venue, [])
        clocks.append(clock_of(each.rehearsal, partial(rested, own)))
    return clocks[0] if settings.exchanges[0].rehearsal is None else Together(clocks)
