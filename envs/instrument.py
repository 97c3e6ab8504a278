"""What a book may hold or trade: terms fixed at the opening, value and greeks at a quote, payoff at the end.

P paths, n copies of an instrument on each. One file of `envs/instruments/` per kind.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar

import torch
from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import Generator, Tensor

from envs import register
from envs.calibration import Section
from envs.surface import Surface
from envs.types import Greeks, Quote
from envs.volatility.memory import Memory


@dataclass(frozen=True)
class Terms:
    """What one holding has left to run; instruments with more terms extend it. All (P, n)."""

    bars_left: Tensor  # int64; 0 once settled


AnyTerms = TypeVar("AnyTerms", bound=Terms)


@dataclass(frozen=True)
class View:
    """One asset's market as its instruments are priced in it."""

    quote: Quote
    memory: Memory
    surface: Surface
    bar: float  # years

    def years(self, bars: Tensor) -> Tensor:
        return bars.to(self.quote.spot.dtype) * self.bar


class Opening(NamedTuple):
    """When and how holdings begin."""

    copies: int
    bars_left: Tensor  # (P,) of the episode, int64
    life: int | Tensor  # bars of a whole episode; of what begins in its course, those left of it (P, 1)
    step: int  # bars between decisions: expiries fall on decisions
    generator: Generator


class Instrument(Section):
    """Base of every kind. Greeks and payoffs are per base unit, in quote currency."""

    kind: str
    asset: int = Field(default=0, ge=0)  # place among the task's assets

    linear: ClassVar[bool] = True  # hedges delta alone
    expires: ClassVar[bool] = False  # paid out with the episode's end at the latest, not sold

    def ends_within(self, bars: int) -> bool:
        """Whether some of it may end before an episode of `bars` does."""
        return False

    @property
    def longest(self) -> int:
        """Bars of the longest life that its terms may have; 0 where the episode sets it."""
        return 0

    def opened(self, view: View, opening: Opening) -> Any:
        """Terms of holdings that begin at `view`."""
        return Terms(opening.bars_left[:, None].expand(-1, opening.copies))

    def aged(self, terms: AnyTerms, bars: int) -> AnyTerms:
        """The terms `bars` later."""
        return replace(terms, bars_left=(terms.bars_left - bars).clamp(min=0))

    @abstractmethod
    def greeks(self, terms: Any, view: View) -> Greeks:
        """(P, n) of one unit at `view`."""

    def deltas(self, terms: Any, view: View, spots: Tensor, stretches: Tensor) -> Tensor:
        """(P, n, S) delta in S cases: the spot at `spots` (P, S), every volatility `stretches` (P, S) times as high."""
        cases = [replace(view, quote=replace(view.quote, spot=spot)) for spot in spots.unbind(-1)]
        return torch.stack([self.greeks(terms, case).delta for case in cases], -1)

    @abstractmethod
    def payoff(self, terms: Any, opening: Quote, view: View) -> Tensor:
        """(P, n) paid when it ends at `view`, at the close of the bar that began at `opening`."""

    def income(self, terms: Any, view: View) -> Tensor | None:
        """(P, n) earned per year by holding one; None where holding earns nothing."""
        return None

    def half_spread(self, greeks: Greeks, view: View) -> Tensor:
        """(P, n) of its price, as a fraction."""
        return view.quote.half_spread[:, None].expand_as(greeks.value)

    def depth(self, greeks: Greeks, view: View) -> Tensor:
        """(P, n) quote currency of it resting near its price, one side."""
        return view.quote.depth[:, None].expand_as(greeks.value)


def _parsed(raw: Any) -> Any:
    return register.parsed("envs.instruments", raw, "option")


AnyInstrument = Annotated[SerializeAsAny[Instrument], BeforeValidator(_parsed)]


def delta_one(value: Tensor, terms: Terms) -> Greeks:
    """Greeks (P, n) of what moves with the spot one for one and is worth `value` (P,)."""
    worth = value[:, None].expand_as(terms.bars_left)
    zero = torch.zeros_like(worth)
    return Greeks(worth, torch.ones_like(worth), zero, zero, zero)
