"""What a breaker is, what it sees, and the register of them: the files of `serve/breakers/`, by name."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import serve.breakers
from envs.types import BadInput
from serve.events import Event, QuoteEvent
from serve.states import BreakerClass, Discipline, Finding

Recollection = tuple[float, ...]  # what a breaker carries from one event to the next; empty at first


@dataclass(frozen=True)
class Asked:
    """A request to the policy that is open."""

    request: str
    time: int
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
    """What a breaker may look at, after an event and before its decision. None: not known yet."""

    event: Event
    quote: QuoteEvent | None
    volatility: float | None  # filtered, per √year; None until the filter is warm
    profit: float | None  # since the start, marked at the quote, quote currency
    delta: float | None  # of book and hedge together, base units
    gamma: float | None  # of the book, base units per unit of quote currency
    position: float  # of the hedge, base units
    asked: Asked | None  # the request that the event answers or that is overdue
    overdue: bool
    trained: Trained


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
