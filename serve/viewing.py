"""What the breakers are shown of the state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from serve.breaker import Trained, View
from serve.clock import HOUR, SECOND
from serve.config import WEEK_MINUTES, Asset
from serve.events import Event, Inference
from serve.exposure import net, profit
from serve.frozen import kept
from serve.setup import Setup
from serve.state import Question, State
from serve.states import Monitor, RiskState

MONDAY = 4 * 24 * HOUR  # of the first week after the epoch, a Thursday
UNTRAINED = Trained((), (), (), 0)


def view(setup: Setup, state: State, event: Event, question: Question | None) -> View:
    warm = state.monitors.get("warm_up", Monitor()).level is RiskState.ACTIVE
    model = state.models.active if question is None else question.asked.model
    record, venue = state.record, state.venue
    return View(
        event=event,
        time=state.time,
        quotes=state.quotes,
        ages=_ages(state, setup.config.book.source),
        market_open={each.name: is_open(each, state.time) for each in setup.config.assets},
        prices=setup.prices(state),
        volatility={name: past.volatility for name, past in state.pasts.items()} if warm else {},
        intensity={name: past.intensity for name, past in state.pasts.items()} if warm else {},
        **vars(whole(state)),
        margin_distance=state.distance,
        in_flight=len(state.in_flight),
        sent=record.sent,
        rejections=record.rejections,
        slippages=record.slippages,
        executions=record.executions,
        pulled=record.pulled,
        turned=record.turned,
        crossed=record.crossed,
        skew_ms=venue.skew_ms,
        round_trip_ms=venue.round_trip_ms,
        commit_ms=venue.commit_ms,
        mismatches=venue.mismatches,
        deleveraged=record.deleveraged,
        asked=None if question is None else question.asked,
        overdue=question is not None and not isinstance(event, Inference),
        trained=setup.trained(state.models.trained.get(model, "")) or UNTRAINED,
        disagreement=record.disagreement,
    )


def _ages(state: State, source: str) -> dict[str, int]:
    """An account's is none where the book is no longer an account's."""
    return {name: state.time - at for name, at in state.fresh.items() if name != "account" or source == "account"}


def is_open(asset: Asset, now: int) -> bool:
    """Whether an asset's market trades at `now`."""
    minute = (now - MONDAY) // (60 * SECOND) % WEEK_MINUTES
    return not any(start <= minute < end for start, end in asset.closed)


@dataclass(frozen=True)
class Whole:
    """Book and hedges together, as a view has them."""

    profit: float | None
    delta: Mapping[str, float]
    gamma: Mapping[str, float]
    vega: Mapping[str, float]
    stress_loss: float | None
    position: Mapping[str, float]


def _made(state: State) -> Whole:
    ledger, valuations = state.ledger, state.valuations
    nets = {name: net(state, each, float(ledger.coins.get(name, 0))) for name, each in valuations.items()}
    return Whole(
        profit=profit(state),
        delta={name: each.delta for name, each in nets.items()},
        gamma={name: each.gamma for name, each in nets.items()},
        vega={name: each.vega for name, each in nets.items()},
        stress_loss=sum(each.stress_loss for each in nets.values()) if nets else None,
        position={symbol: float(ledger.position(symbol)) for each in valuations.values() for symbol in each.legs},
    )


whole = kept(_made, lambda state: (state.valuations, state.ledger))
