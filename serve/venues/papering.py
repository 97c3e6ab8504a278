"""Opening the paper venue: its quotes are recorded bars, or a file of ticks that grows."""

from __future__ import annotations

from collections.abc import Sequence

from envs.types import BadInput
from serve import config as configs
from serve import feed as feeds
from serve.clock import DAY, Clock, RealClock, VirtualClock
from serve.config import ServeConfig
from serve.events import Event, History
from serve.feed import Feed, QuoteModel
from serve.market import Market
from serve.setup import listings
from serve.source import Source
from serve.state import State
from serve.venues.floor import Place, Sent
from serve.venues.onpaper import OnPaper


def placed(
    config: ServeConfig, market: Market, source: Source, state: State | None, past: Sequence[Event], sent: Sent
) -> Place:
    """Raises BadInput or FeedError for quotes that are not there."""
    assert isinstance(config.venue, configs.Venue), "the settings say who places them"
    clock, feed, histories = _market(config, market, source, 0 if state is None else state.time)
    floor = OnPaper(market, config.venue)
    floor.remember(past, sent, state)
    for leg, listing in listings(config).items():
        floor.listed(leg, listing)
    return Place(floor, feed, clock, histories, venue="")


def _market(
    config: ServeConfig, market: Market, source: Source, resumed: int
) -> tuple[Clock, Feed, tuple[History, ...]]:
    """The clock, the feed, and the closes that warm the filters up."""
    if len(source.bars) != len(market.assets):
        raise BadInput(f"--feed names {len(source.bars)} records for {len(market.assets)} assets; name one for each")
    if source.funding and len(source.funding) != len(market.assets):
        count = len(source.funding)
        raise BadInput(f"--funding names {count} records for {len(market.assets)} assets; name one for each")
    bar = market.bar
    count = 0 if source.follow is not None else source.days * DAY // bar
    records = [feeds.read_bars(name) for name in source.bars]
    parts = [feeds.split(bars, source.first, count, config.clocks.warmup_bars, bar) for bars in records]
    paid = [feeds.read_funding(name) for name in source.funding] or [{} for _ in parts]
    each = zip(market.assets, parts, paid, strict=True)
    models = {name: QuoteModel(market, name, closes, rates) for name, (closes, _), rates in each}
    if source.follow is not None:
        clock: Clock = RealClock() if source.clock is None else source.clock
        feed: Feed = feeds.Follow(source.follow, models, clock, bar, source.stop_at)
    else:
        clock = VirtualClock(max(source.first, resumed), source.speed)
        feed = feeds.Replay([window for _, window in parts], list(models.values()), clock, bar, resumed)
    closes = zip(market.assets, parts, strict=True)
    return clock, feed, tuple(History(clock.now(), name, source.first, own) for name, (own, _) in closes)
