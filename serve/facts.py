"""What each event makes of the state, the market's and the venue's orders apart."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from typing import Literal

from serve.commands import Dropped
from serve.errors import Refused
from serve.events import (
    BookFunded,
    BookSeen,
    BookSettled,
    BookTraded,
    DecisionDue,
    Event,
    JournalStalled,
    Listed,
    ModelOffered,
    ModelSwapped,
    Operator,
    QuoteEvent,
    SourcePrice,
    Started,
    SurfaceQuote,
    TargetSet,
    VenueTime,
)
from serve.frozen import replace
from serve.market import Listing
from serve.smile import Smile
from serve.state import Flatten, Models, Opening, Shadow, State
from serve.states import Monitor, RiskState, acknowledged, tripped


def quoted(state: State, event: QuoteEvent) -> State:
    fresh = {f"{name}:{event.asset}": event.quoted_at for name in ("spot", "mark", "funding")}
    if event.asset not in state.surfaces:
        fresh[f"surface:{event.asset}"] = event.quoted_at
    quotes = {**state.quotes, event.asset: event}
    return replace(state, quotes=quotes, fresh={**state.fresh, **fresh})


def surfaced(state: State, event: SurfaceQuote, smile: Smile) -> State:
    fresh = {**state.fresh, f"surface:{event.asset}": event.quoted_at}
    surfaces, smiles = {**state.surfaces, event.asset: event}, {**state.smiles, event.asset: smile}
    return replace(state, surfaces=surfaces, smiles=smiles, fresh=fresh)


def faded(state: State, life: float) -> State:
    """Without the smiles that are older than `life` milliseconds."""
    old = {name for name in state.smiles if state.time - state.surfaces[name].quoted_at > life}
    return replace(state, smiles={k: v for k, v in state.smiles.items() if k not in old}) if old else state


def sourced(state: State, event: SourcePrice) -> State:
    own = {**state.sources.get(event.asset, {}), event.source: event}
    return replace(state, sources={**state.sources, event.asset: own})


def due(state: State, event: DecisionDue) -> State:
    return state.owing(*state.pasts)


def traded(state: State, event: BookTraded) -> State:
    """The first holding of an empty book opens the margin accounts anew."""
    opening = state.opening if state.book.holdings else _opened(state)
    book, holding = state.book.traded(event.holding, event.trade), event.holding
    state = _paid(replace(state, book=book, opening=opening), holding.asset, holding.settlement, event.premium)
    return _touched(state, event.time).owing(holding.asset)


def settled(state: State, event: BookSettled) -> State:
    holding = state.book.holdings.get(event.holding)
    book = state.book.settled(event.holding)
    assert holding is not None, "settled raises for what is not there"
    state = _paid(replace(state, book=book), holding.asset, holding.settlement, event.cash)
    return _touched(state, event.time).owing(holding.asset)


def funded(state: State, event: BookFunded) -> State:
    """Raises Refused for a holding that is not in the book."""
    holding = state.book.holdings.get(event.holding)
    if holding is None:
        raise Refused(f"{event.holding} is not in the book")
    return _paid(state, holding.asset, "cash", event.cash)


def seen(state: State, event: BookSeen) -> State:
    return replace(state, fresh={**state.fresh, "account": event.time})


def targeted(state: State, event: TargetSet) -> State:
    names = ("delta", "gamma", "vega", "hedge_ratio", "above", "below")
    named = {name: value for name in names if (value := getattr(event, name)) is not None}
    target = state.targets[event.asset].model_copy(update=named)
    return replace(state, targets={**state.targets, event.asset: target}).owing(event.asset)


def listed(state: State, event: Listed) -> State:
    """Raises Refused while something of the option before is held or may still be."""
    if state.ledger.position(event.symbol) != 0 or any(each.symbol == event.symbol for each in state.reserved):
        raise Refused(f"{event.symbol} is still held, and cannot be listed anew")
    listings = {**state.listings, event.symbol: Listing(event.strike, event.expiry)}
    return replace(state, listings=listings)


def venue_timed(state: State, event: VenueTime) -> State:
    return replace(state, venue=replace(state.venue, skew_ms=event.skew_ms, round_trip_ms=event.round_trip_ms))


def stalled(state: State, event: JournalStalled) -> State:
    return replace(state, venue=replace(state.venue, commit_ms=event.milliseconds))


def begun(models: Models, event: Started) -> Models:
    """What decided before the session and decides with it too keeps its last good one."""
    trained = {event.model: event.trained} if event.model else {}
    if event.model != models.active:
        return Models(event.model, trained=trained)
    return replace(models, trained={**models.trained, **trained})


def offered(state: State, event: ModelOffered) -> State:
    models = replace(state.models, trained={**state.models.trained, event.model: event.trained})
    same = state.shadow is not None and state.shadow.model == event.model
    if event.role == "candidate" or same:
        return replace(state, models=models)
    return replace(
        state, models=models, shadow=Shadow(event.model, state.ledger, began=dict(state.quotes), paid_at=event.time)
    )


def swapped(state: State, event: ModelSwapped) -> State:
    """Raises Refused for a model that was not offered whole before."""
    if event.model not in state.models.trained:
        raise Refused(f"model {event.model[:12]} was not offered")
    if event.model == state.models.active:
        raise Refused(f"model {event.model[:12]} decides already")
    return replace(state, models=replace(state.models, active=event.model, last_good=state.models.active))


def rolled_back(models: Models) -> Models:
    """The last good model decides again; the one before it is not fallen back to."""
    return replace(models, active=models.last_good, last_good="")


def operated(state: State, event: Operator, override_until: int, limits: Collection[str]) -> State:
    """Raises Refused for what cannot be done."""
    if not event.who.strip():
        raise Refused(f"{event.action} by nobody: a named person acts")
    if event.fault or event.action == "promote":
        raise Refused(event.fault or f"model {event.subject} was not loaded")
    if event.action == "override":
        if event.subject not in limits:
            raise Refused(f"there is no limit {event.subject or 'without a name'}; have {', '.join(sorted(limits))}")
        return replace(state, overrides={**state.overrides, event.subject: override_until})
    if event.action == "flatten":
        return _flattening(state, event)
    if event.action == "rollback":
        if not state.models.last_good:
            raise Refused("there is no last good model to go back to")
        return replace(state, models=rolled_back(state.models))
    moved = replace(state, monitors={**state.monitors, **_moved(state, event)})
    return replace(moved, flatten=None) if event.action == "halt" else moved


def left_out(state: State, event: Event, reason: str) -> tuple[State, Dropped]:
    """An event that is not acted on is counted and told."""
    name = type(event).__name__
    dropped = {**state.dropped, name: state.dropped.get(name, 0) + 1}
    return replace(state, dropped=dropped), Dropped(state.time, name, reason)


def broken(state: State, words: str) -> State:
    """Something that cannot be true was journalled: halt, for a person to look."""
    was = state.monitors.get("integrity", Monitor())
    monitor = tripped(was, words, RiskState.HALTED, 1, state.time)
    return replace(state, monitors={**state.monitors, "integrity": monitor})


def _flattening(state: State, event: Operator) -> State:
    """To close everything is to stop hedging too: it halts, until a person resumes."""
    mode: Literal["neutralise", "close"] = "close" if event.subject == "close" else "neutralise"
    if event.subject not in ("", "close"):
        raise Refused(f"flatten {event.subject}: say close, or nothing to neutralise")
    state = replace(state, flatten=Flatten(mode, event.who, since=event.time), question=None)
    if mode == "neutralise":
        return state
    halted = tripped(Monitor(), f"{event.who}: close all: {event.why}", RiskState.HALTED, 1, event.time)
    return replace(state, monitors={**state.monitors, "operator": halted})


def _moved(state: State, event: Operator) -> dict[str, Monitor]:
    """`halt`, `fallback` and `resume` move the operator's own monitor; `acknowledge` releases another's latch."""
    words, own = f"{event.who}: {event.why}", state.monitors.get("operator", Monitor())
    if event.action == "halt":
        return {"operator": tripped(Monitor(), words, RiskState.HALTED, 1, event.time)}
    if event.action == "fallback":
        return {"operator": _fallen(own, words, event.time)}
    if event.action == "resume":
        return {"operator": _released(own, words)}
    if event.subject == "integrity":
        return {"integrity": _released(state.monitors.get("integrity", Monitor()), words)}
    if event.subject not in state.monitors:
        have = ", ".join(sorted(state.monitors))
        raise Refused(f"there is no breaker {event.subject or 'without a name'}; have {have}")
    return {event.subject: acknowledged(state.monitors[event.subject], event.time)}


def _fallen(monitor: Monitor, words: str, now: int) -> Monitor:
    """Raises Refused where what holds is stricter."""
    if monitor.level > RiskState.FALLBACK:
        raise Refused(f"it is {monitor.level.name} by a person's word, which is stricter; resume first")
    return tripped(Monitor(), words, RiskState.FALLBACK, 1, now)


def _released(monitor: Monitor, words: str) -> Monitor:
    """One word of a person brings HALTED to REDUCING, and a second lets go. Raises Refused where nothing is held."""
    if monitor.level is RiskState.ACTIVE:
        raise Refused("nothing is halted")
    return Monitor(RiskState.REDUCING if monitor.level is RiskState.HALTED else RiskState.ACTIVE, reason=words)


def _opened(state: State) -> Opening:
    accounts = state.ledger.accounts
    worth = {name: account.worth(state.mark(name)) for name, account in accounts.items()}
    return Opening(worth, state.ledger.book)


def _paid(state: State, asset: str, settlement: str, amount: Decimal) -> State:
    ledger = state.ledger.coined(asset, amount) if settlement == "coin" else state.ledger.booked(amount)
    return replace(state, ledger=ledger)


def _touched(state: State, now: int) -> State:
    return replace(state, fresh={**state.fresh, "book": now})
