"""Which tasks can be served, and whether the settings name what the task has."""

from __future__ import annotations

from collections.abc import Sequence

from envs.instruments.option import Option
from envs.instruments.perpetual import Perpetual
from envs.instruments.spot import Spot
from envs.markets.garch import GarchMarket
from envs.task import Task
from envs.types import BadInput
from serve.config import Asset, Leg


def check(task: Task, assets: Sequence[Asset], legs: Sequence[Leg]) -> None:
    """Raises BadInput for a task that cannot be served, or settings of other assets or legs than the task's."""
    if (reason := _unserved(task)) is not None:
        raise BadInput(f"task {task.id} has {reason}, which cannot be served; choose another task")
    _matched(task, assets, legs)


def _matched(task: Task, assets: Sequence[Asset], legs: Sequence[Leg]) -> None:
    hedges = task.contract.hedges
    if len(assets) != (count := task.contract.assets):
        raise BadInput(
            f"assets: the task {task.id} has {count}, the settings name {len(assets)}; name each in its order"
        )
    if len(legs) != len(hedges):
        raise BadInput(
            f"legs: the task {task.id} has {len(hedges)}, the settings name {len(legs)}; name each in its order"
        )
    for leg, hedge in zip(legs, hedges, strict=True):
        if leg.strike is not None and not isinstance(hedge.instrument, Option):
            raise BadInput(f"legs: {leg.symbol} is a {hedge.instrument.kind}; drop its strike and expiry")


def _unserved(task: Task) -> str | None:
    """What of the task cannot be served, in words."""
    contract = task.contract
    if not isinstance(task.market.settings, GarchMarket.Settings):
        return f"a {task.market.kind} market"
    for hedge in contract.hedges:
        if not isinstance(hedge.instrument, Option | Perpetual | Spot):
            return f"a {hedge.instrument.kind} as a hedge"
    if contract.rolling:
        return "hedging options that are listed anew (roll_bars)"
    if any(claim.arrivals is not None for claim in contract.claims):
        return "claims that arrive at random"
    if contract.outlived:
        return "claims that outlive the book"
    if contract.closing == "mark":
        return "hedges that end at their mark for free"
    return "its profit counted in coin" if contract.numeraire == "coin" else None
