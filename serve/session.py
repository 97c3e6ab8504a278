"""Putting a session together, and taking it up again from its journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from agents import card
from envs.task import Task
from envs.types import BadInput
from serve.bookfile import BookFile
from serve.clock import SECOND, Clock, show
from serve.codec import canonical
from serve.commands import Output, SubmitOrder
from serve.config import ServeConfig
from serve.desk import Desk
from serve.drive import Book, Several, Timers, drive
from serve.errors import StartRefused
from serve.events import Event, Started
from serve.holdings import Book as Holdings
from serve.journal import Journal
from serve.latched import Latched
from serve.market import Market
from serve.marketfile import MarketFile
from serve.notify import Notifier
from serve.people import People
from serve.policy import NetworkPolicies
from serve.promoting import Loader, fitting, load, offered, promoted, ranges
from serve.reconciling import mismatch
from serve.runner import Core, Runner, computed, replayed
from serve.source import Source as Source
from serve.state import State
from serve.venues.floor import Floor, Place, Sent

Told = Callable[[Event, tuple[Output, ...]], None]
ROUNDS = 5  # of waiting for the venue's first reports


@dataclass(frozen=True)
class Basis:
    """What the card or the config says the session stands on."""

    task: Task
    model: card.Model | None

    def started(self, config: ServeConfig, now: int, venue: str) -> Started:
        return Started(
            time=now,
            config=canonical(config.model_dump(mode="json")).decode(),
            task=canonical(self.task.model_dump(mode="json")).decode(),
            trained="" if self.model is None else ranges(self.model.card),
            model="" if self.model is None else self.model.card.weights_sha256,
            venue=venue,
            computed=computed(),
        )


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
    with ExitStack() as closing:
        place = placed(config, market, source, core.state, past, sent)
        closing.callback(place.floor.close)
        book = _beside(config, market, source, core, past, closing)
        return _hedged(config, journal, place, book, ground, core, past, told)


def placed(
    config: ServeConfig, market: Market, source: Source, state: State | None, past: list[Event], sent: Sent
) -> Place:
    """By the module that the venue's settings name, which is loaded only now."""
    found: Place = import_module(config.venue.opening).placed(config, market, source, state, past, sent)
    return found


def _hedged(
    config: ServeConfig,
    journal: Journal,
    place: Place,
    book: Book,
    ground: Basis,
    core: Core,
    past: list[Event],
    told: Told,
) -> Core:
    """The session, from its start to its end."""
    clock, floor = place.clock, place.floor
    _later(core.state, clock.now(), config.clocks.future_seconds)
    policies = NetworkPolicies(clock, config.clocks.inference_seconds)
    ground = _deciding(ground, policies, core, past, config)
    inbox = journal.inbox()
    people, notifier = People(inbox, Loader(ground.task, policies), clock, past), Notifier(clock)

    def heard(event: Event, outputs: tuple[Output, ...]) -> None:
        people.told(event, outputs)
        notifier.alive("" if core.state is None else core.state.risk.name)
        told(event, outputs)

    runner = Runner(journal, Latched(floor, people), policies, core, heard, clock)
    begun(runner, ground.started(config, clock.now(), place.venue), floor, clock)
    _explained(runner.state, floor, config, _declared(config, past, clock.now()))
    for history in place.histories:
        if runner.state.pasts[history.asset].ended + 2 * runner.setup.market.bar <= clock.now():
            runner.handle(replace(history, time=clock.now()))
    if config.challenger is not None:
        challenger = fitting(Path(config.challenger), ground.task)
        policies.add(challenger.card.weights_sha256, challenger.network)
        runner.handle(offered(challenger, Path(config.challenger), "challenger", clock.now()))
    notifier.ready()
    try:
        drive(runner, place.feed, book, floor, people, clock, Timers(runner.setup, clock.now(), past))
    except KeyboardInterrupt:
        runner.flush()
    finally:
        notifier.stopping()
        runner.withdraw()
        inbox.close()
    return core


def _later(state: State | None, now: int, future_seconds: float) -> None:
    """Raises StartRefused for a clock behind the journal: the core's time would stand still until it has caught up."""
    ahead = 0 if state is None else state.time - now
    if ahead > future_seconds * SECOND:
        raise StartRefused(
            f"the journal's last entry, of {show(now + ahead)}, is {ahead // SECOND} s ahead of this clock; set the "
            "clock right; if it was wrong when the journal was written, wait so long, or begin a new journal"
        )


def begun(runner: Runner, started: Started, floor: Floor, clock: Clock) -> None:
    """The session's start, and the venue's reports. Raises StartRefused where they do not agree with our records."""
    runner.handle(started)
    for _ in range(ROUNDS):
        if not runner.state.venue.awaited or runner.state.venue.mismatches:
            break
        floor.settle()
        for event in floor.passed(clock.now()):
            runner.handle(event)
    venue = runner.state.venue
    if venue.awaited:
        missing = ", ".join(sorted(venue.awaited))
        raise StartRefused(mismatch(venue) or f"the venue has not reported {missing}; see that it can be reached")


def _explained(state: State, floor: Floor, config: ServeConfig, declared: Sequence[Event]) -> None:
    """Raises StartRefused for a position that neither our fills nor the book account for; an account's book, which is
    held elsewhere, accounts for none.
    """
    beside = state if config.book.account is None else replace(state, book=Holdings())
    if (words := floor.unexplained(beside, declared)) is not None:
        raise StartRefused(f"{words}; declare it in the book, or hedge on a sub-account of its own")


def _declared(config: ServeConfig, past: list[Event], now: int) -> Sequence[Event]:
    """What the book's file tells and is not journalled yet."""
    return BookFile(Path(config.book.path), past).fresh(now) if config.book.path is not None else ()


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


def _beside(
    config: ServeConfig, market: Market, source: Source, core: Core, past: list[Event], closing: ExitStack
) -> Book:
    """The book to hedge, and what else there is of the market. `closing`: what is to be closed in the end."""
    book = _book(config, market, source, core, past, closing)
    if source.market is None:
        return book
    after = 0 if core.state is None else core.state.time
    return Several((MarketFile(source.market, after, paced=source.follow is None, past=past), book))


def _book(
    config: ServeConfig, market: Market, source: Source, core: Core, past: list[Event], closing: ExitStack
) -> Book:
    if config.book.path is not None:
        return BookFile(Path(config.book.path), past)
    if config.book.source == "api":
        return Several(())
    if config.book.account is not None:
        return _account(config, market, source, core, past, closing)
    desk = Desk(config.book, market, config.venue.seed)
    desk.remember(past)
    return desk


def _account(
    config: ServeConfig, market: Market, source: Source, core: Core, past: list[Event], closing: ExitStack
) -> Book:
    """By a module that is loaded only now, as ccxt comes with it. Raises BadInput beside quotes of the past."""
    if not config.venue.exchanges and source.follow is None:
        raise BadInput(
            "book.account: what it holds is of now, and the quotes are of the past; follow live ticks with --follow, "
            "or name an exchange in [venue]"
        )
    book: Book = import_module("serve.venues.subaccount").opened(config, market, core.state, past, closing)
    return book
