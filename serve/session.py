"""Putting a session together, and taking it up again from its journal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from agents import card
from envs.task import Task
from serve import feed as feeds
from serve.clock import SECOND, Clock, RealClock, VirtualClock
from serve.codec import canonical
from serve.commands import Output
from serve.config import ServeConfig
from serve.desk import Desk
from serve.drive import Timers, drive
from serve.events import Event, History, Started
from serve.feed import Feed, QuoteModel
from serve.journal import Journal
from serve.market import DTYPE, Market
from serve.policy import NetworkPolicy
from serve.runner import Core, Runner, replayed
from serve.setup import opened, trained_text
from serve.venues.paper import Paper

Told = Callable[[Event, tuple[Output, ...]], None]
DAY = 24 * 3_600 * SECOND


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
            trained="" if self.model is None else _ranges(self.model.card),
            model="" if self.model is None else self.model.card.weights_sha256,
        )


@dataclass(frozen=True)
class Source:
    """Which quotes: `bars` (shipped name or file) from `first` for `days`; or the ticks of a `follow` file, live."""

    bars: str
    first: int
    days: int
    speed: float | None = None  # times the wall clock; None: as fast as it goes
    follow: Path | None = None
    clock: Clock | None = None  # to follow by, where it is not the machine's
    stop_at: int | None = None


def basis(config: ServeConfig) -> Basis:
    """Raises BadInput for a model or task that cannot be loaded."""
    if config.model is not None:
        model = card.load(Path(config.model), DTYPE)
        return Basis(model.card.task, model)
    assert config.task is not None, "validated by ServeConfig"
    return Basis(Task.load(config.task), None)


def run(config: ServeConfig, journal: Journal, source: Source, told: Told = lambda event, outputs: None) -> Core:
    """Serve until the feed ends or a person interrupts. A journal with entries is taken up where it stopped.

    Raises BadInput, FeedError, JournalBroken or ReplayMismatch before the start, and JournalError when it halts.
    """
    ground = basis(config)
    core, past = replayed(journal) if journal.head[0] > 0 else (Core(), [])
    clock, feed, history = _market(config, ground, source, core.state.time if core.state is not None else 0)
    started = ground.started(config, clock.now())
    setup = opened(started)
    venue, desk = Paper(setup.market.contract, config.venue), Desk(config.desk, setup.market)
    venue.remember(past)
    desk.remember(past)
    limit = config.clocks.inference_seconds
    policy = None if ground.model is None else NetworkPolicy(ground.model.network, clock, limit)
    runner = Runner(journal, venue, policy, core, told)
    runner.handle(started)
    if runner.state.bar_time + 2 * setup.market.bar <= clock.now():
        runner.handle(replace(history, time=clock.now()))
    try:
        drive(runner, feed, desk, venue, clock, Timers(setup, clock.now(), past))
    except KeyboardInterrupt:
        runner.flush()
    return core


def _market(config: ServeConfig, ground: Basis, source: Source, resumed: int) -> tuple[Clock, Feed, History]:
    """The clock, the feed, and the closes that warm the filter up."""
    market = Market(ground.task)
    bar = market.bar
    count = 0 if source.follow is not None else source.days * DAY // bar
    bars = feeds.read_bars(source.bars)
    closes, window = feeds.split(bars, source.first, count, config.clocks.warmup_bars, bar)
    model = QuoteModel(market, closes)
    if source.follow is not None:
        clock: Clock = RealClock() if source.clock is None else source.clock
        followed = feeds.Follow(source.follow, model, clock, bar, source.stop_at)
        return clock, followed, History(clock.now(), source.first, closes)
    clock = VirtualClock(max(source.first, resumed), source.speed)
    return clock, feeds.Replay(window, model, clock, bar, resumed), History(clock.now(), source.first, closes)


def _ranges(described: card.Card) -> str:
    ranges = [described.trained_range[name] for name in described.features]
    return trained_text(tuple(low for low, _ in ranges), tuple(high for _, high in ranges))
