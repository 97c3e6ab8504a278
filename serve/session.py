"""Putting a session together, and taking it up again from its journal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from agents import card
from envs.task import Task
from envs.types import BadInput
from serve import feed as feeds
from serve.bookfile import BookFile
from serve.clock import DAY, Clock, RealClock, VirtualClock
from serve.codec import canonical
from serve.commands import Output, SubmitOrder
from serve.config import ServeConfig
from serve.desk import Desk
from serve.drive import Book, Several, Timers, drive
from serve.errors import StartRefused
from serve.events import Event, History, Started
from serve.feed import Feed, QuoteModel
from serve.journal import Journal
from serve.latched import Latched
from serve.market import Market
from serve.marketfile import MarketFile
from serve.notify import Notifier
from serve.people import People
from serve.policy import NetworkPolicies
from serve.promoting import Loader, fitting, load, offered, promoted, ranges
from serve.reconciling import mismatch
from serve.runner import Core, Runner, replayed
from serve.setup import listings
from serve.venues.paper import Paper

Told = Callable[[Event, tuple[Output, ...]], None]


@dataclass(frozen=True)
class Basis:
    """What the card or the config says the session stands on."""

    task: Task
    model: card.Model | None

    def started(self, config: ServeConfig, now: int) -> Started:
        return Started(
            time=now,
            config=canonical(config.model_dump(mode="json")).decode(),
            task=canonical(self.task.model_dump(mode="json")).decode(),
            trained="" if self.model is None else ranges(self.model.card),
            model="" if self.model is None else self.model.card.weights_sha256,
        )


@dataclass(frozen=True)
class Source:
    """Which quotes: `bars` (a shipped name or file per asset) from `first` for `days`, or ticks of a `follow` file."""

    bars: tuple[str, ...]
    first: int
    days: int
    speed: float | None = None  # times the wall clock; None: as fast as it goes
    follow: Path | None = None
    clock: Clock | None = None  # to follow by, where it is not the machine's
    stop_at: int | None = None
    market: Path | None = None  # a file of listed volatilities and other sources' prices
    funding: tuple[str, ...] = ()  # recorded, a shipped name or file per asset; (): the calibrated mean


def basis(config: ServeConfig) -> Basis:
    """Raises BadInput for a model or task that cannot be loaded."""
    if config.model is not None:
        model = load(Path(config.model))
        return Basis(model.card.task, model)
    assert config.task is not None, "validated by ServeConfig"
    return Basis(Task.load(config.task), None)


def run(config: ServeConfig, journal: Journal, source: Source, told: Told = lambda event, outputs: None) -> Core:
    """Serve until the feed ends or a person interrupts. A journal with entries is taken up where it stopped.

    Raises BadInput, FeedError, JournalBroken, ReplayMismatch or StartRefused before the start, and JournalError when
    it halts.
    """
    ground = basis(config)
    market = Market(ground.task, config.assets, config.legs)
    sent: dict[str, SubmitOrder] = {}

    def noted(event: Event, outputs: tuple[Output, ...]) -> None:
        sent.update({each.order: each for each in outputs if isinstance(each, SubmitOrder)})

    core, past = replayed(journal, noted) if journal.head[0] > 0 else (Core(), [])
    clock, feed, histories = _market(config, market, source, core.state.time if core.state is not None else 0)
    venue, book = Paper(market, config.venue), _beside(config, market, source, core, past)
    venue.remember(past, sent, core.state)
    for leg, listing in listings(config).items():
        venue.listed(leg, listing)
    policies = NetworkPolicies(clock, config.clocks.inference_seconds)
    ground = _deciding(ground, policies, core, past, config)
    inbox = journal.inbox()
    people, notifier = People(inbox, Loader(ground.task, policies), clock, past), Notifier(clock)

    def heard(event: Event, outputs: tuple[Output, ...]) -> None:
        people.told(event, outputs)
        notifier.alive("" if core.state is None else core.state.risk.name)
        told(event, outputs)

    runner = Runner(journal, Latched(venue, people), policies, core, heard, clock)
    begun(runner, ground.started(config, clock.now()))
    for history in histories:
        if runner.state.pasts[history.asset].ended + 2 * market.bar <= clock.now():
            runner.handle(replace(history, time=clock.now()))
    if config.challenger is not None:
        challenger = fitting(Path(config.challenger), ground.task)
        policies.add(challenger.card.weights_sha256, challenger.network)
        runner.handle(offered(challenger, Path(config.challenger), "challenger", clock.now()))
    notifier.ready()
    try:
        drive(runner, feed, book, venue, people, clock, Timers(runner.setup, clock.now(), past))
    except KeyboardInterrupt:
        runner.flush()
    finally:
        notifier.stopping()
        inbox.close()
    return core


def begun(runner: Runner, started: Started) -> None:
    """The session's start, and the venue's reports. Raises StartRefused where they do not agree with our records."""
    runner.handle(started)
    venue = runner.state.venue
    if venue.awaited:
        missing = ", ".join(sorted(venue.awaited))
        raise StartRefused(mismatch(venue) or f"the venue has not reported {missing}; see that it can be reached")


def _deciding(ground: Basis, policies: NetworkPolicies, core: Core, past: list[Event], config: ServeConfig) -> Basis:
    """With every model at hand that may be asked: the settings' own, and what was promoted in its place."""
    if ground.model is None:
        return ground
    models = {ground.model.card.weights_sha256: ground.model}
    active = ""
    if core.state is not None:
        active = core.state.models.active
        models |= promoted(core.state.models, past, config, ground.task)
    for name, model in models.items():
        policies.add(name, model.network)
    return replace(ground, model=models.get(active, ground.model))


def _beside(config: ServeConfig, market: Market, source: Source, core: Core, past: list[Event]) -> Book:
    """The book to hedge, and what else there is of the market."""
    book = _book(config, market, past)
    if source.market is None:
        return book
    after = 0 if core.state is None else core.state.time
    return Several((MarketFile(source.market, after, paced=source.follow is None, past=past), book))


def _book(config: ServeConfig, market: Market, past: list[Event]) -> Book:
    if config.book.path is not None:
        return BookFile(Path(config.book.path), past)
    desk = Desk(config.book, market, config.venue.seed)
    desk.remember(past)
    return desk


def _market(
    config: ServeConfig, market: Market, source: Source, resumed: int
) -> tuple[Clock, Feed, tuple[History, ...]]:
    """The clock, the feed, and the closes that warm the filters up."""
    if len(source.bars) != len(market.assets):
        raise BadInput(f"--feed names {len(source.bars)} records for {len(market.assets)} assets; name one for each")
    if source.funding and len(source.funding) != len(market.assets):
        raise BadInput(
            f"--funding names {len(source.funding)} records for {len(market.assets)} assets; name one for each"
        )
    bar = market.bar
    count = 0 if source.follow is not None else source.days * DAY // bar
    records = [feeds.read_bars(name) for name in source.bars]
    parts = [feeds.split(bars, source.first, count, config.clocks.warmup_bars, bar) for bars in records]
    paid = [feeds.read_funding(name) for name in source.funding] or [None] * len(parts)
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
