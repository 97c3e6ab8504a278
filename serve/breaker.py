"""What a breaker is, what it sees, and the register of them: the files of `serve/breakers/`, by name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import serve.breakers
from envs.types import BadInput
from serve.events import Event, QuoteEvent
from serve.oracle import Price
from serve.states import BreakerClass, Discipline, Finding

Recollection = tuple[float, ...]  # what a breaker carries from one event to the next; empty at first


@dataclass(frozen=True)
class Asked:
    """A request to the policy that is open."""

    request: str
    time: int
    model: str
    features: tuple[float, ...]


@dataclass(frozen=True)
class Trained:
    """What the model's card promises of its features and actions."""

    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    actions: int


@dataclass(frozen=True)
class View:
    """What a breaker may look at, after an event and before its decision. None: not known yet.

    Mappings are by asset unless they say otherwise; times are the engine's, milliseconds.
    """

    event: Event
    time: int
    quotes: Mapping[str, QuoteEvent]
    ages: Mapping[
        str, int
    ]  # milliseconds since fresh, by input: `spot:BTC`, `surface:BTC`, `book`, `account`, `positions`, …
    market_open: Mapping[str, bool]
    prices: Mapping[str, Price]  # the oracle's
    volatility: Mapping[str, float]  # filtered, per √year; an asset is missing until its filter is warm
    intensity: Mapping[str, float]  # filtered shock intensity over its calm level
    profit: float | None  # since the start, marked, quote currency
    delta: Mapping[str, float]  # of book and hedges together, base units
    gamma: Mapping[str, float]  # base units per 1 % of spot
    vega: Mapping[str, float]  # quote currency per volatility point
    stress_loss: float | None  # worst of the settings' spot and volatility cases, quote currency
    margin_distance: float | None  # fraction of spot to liquidation, in [0, 1]
    position: Mapping[str, float]  # of each leg, by symbol, base units
    in_flight: int  # orders
    sent: tuple[int, ...]  # when orders left, of late
    rejections: tuple[int, ...]
    slippages: tuple[tuple[int, float], ...]  # when, and bp of a fill against its decision's quote; bad is positive
    executions: tuple[int, ...]  # decisions that traded
    pulled: tuple[int, ...]  # orders cancelled without a fill
    turned: tuple[int, ...]  # fills that undo the leg's fill before
    crossed: tuple[int, ...]  # orders sent while one of ours might trade on the other side
    skew_ms: int | None
    round_trip_ms: int | None
    commit_ms: int | None  # the journal's last commit
    mismatches: Mapping[str, str]  # what reconciliation found wrong, by report
    deleveraged: Mapping[str, int]  # when, by symbol
    asked: Asked | None  # the request that the event answers or that is overdue
    overdue: bool
    trained: Trained
    disagreement: (
        tuple[int, float] | None
    )  # when last, and the largest |policy trade less the analytic|, over base units


class Breaker(Protocol):
    Settings: ClassVar[type[Discipline]]
    kind: ClassVar[BreakerClass]

    @property
    def settings(self) -> Discipline:
        """Validated as this class's `Settings`."""
        ...

    def judge(self, view: View, memory: Recollection) -> tuple[Finding | None, Recollection]:
        """What the view says (None: nothing about this breaker) and what to carry on."""
        ...


def names() -> tuple[str, ...]:
    return tuple(sorted(module.name for module in pkgutil.iter_modules(serve.breakers.__path__)))


def load(name: str) -> Any:
    """The class of the breaker `name`; raises BadInput for a name that is no file of the folder."""
    if name not in names():
        raise BadInput(f"breakers.{name}: no such breaker; have {', '.join(names())}")
    module = importlib.import_module(f"serve.breakers.{name}")
    return getattr(module, "".join(part.capitalize() for part in name.split("_")))
