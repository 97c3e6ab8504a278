"""The step: quote → memory → observe → decide → order → fill → settle, for P market paths and G hedgers on each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from gymnasium import spaces
from torch import Generator, Tensor

from envs import book as books
from envs import decision
from envs.book import Book
from envs.contract import Contract
from envs.decision import Band
from envs.objective import MeanShortfall
from envs.observation import Observation, Observer, Option
from envs.pricing import black_scholes
from envs.types import BadInput, Quote
from envs.volatility.memory import Memory

LOSS_FEATURES = 3  # seen by the critic alone: the loss so far, its excess over the dual, the odds of passing it
LEAST_SHARE = 0.02  # of a usual premium, left at stake when the option's time value is gone


class Market(Protocol):
    """A market of P paths: its state is its own business, its memory and its quotes are public."""

    def initial(self, paths: int) -> tuple[Any, Memory]: ...

    def step(self, state: Any, memory: Memory) -> tuple[Any, Memory, Quote]: ...

    def quote(self, state: Any, memory: Memory) -> Quote: ...


class Step(NamedTuple):
    """B = P·G books, those of one path adjacent; after a path's end its next episode has already begun."""

    observation: Tensor  # (B, F)
    reward: Tensor  # (B,)
    terminated: Tensor  # (B,) bool
    loss: Tensor  # (B,) per notional, the finished episode's where terminated


@dataclass(frozen=True)
class Outlook:
    """What learning knows of final losses, per notional: it sets the rewards, and moves only between rollouts."""

    dual: Tensor  # () of the objective
    drift: float  # mean change of the loss over a whole life
    spread: float  # standard deviation of that change


class Promise(NamedTuple):
    """What the loss so far promises, (P, G)."""

    worth: Tensor  # expected φ of the final loss
    beyond: Tensor  # odds that the final loss passes the dual


@dataclass(frozen=True)
class Episode:
    """Where the hedgers stand."""

    quote: Quote
    memory: Memory
    option: Option
    notional: Tensor  # (P,) quote currency at the option's start
    book: Book
    loss: Tensor  # (P, G) so far, marked to market, per notional


class HedgingWorld:
    """A short call hedged with the perpetual. Episodes end at expiry; the market itself never stops."""

    def __init__(
        self,
        market: Market,
        observer: Observer,
        objective: MeanShortfall,
        paths: int,
        hedgers: int,
        generator: Generator,
        controlled: bool = False,
    ) -> None:
        """`controlled` rewards leave out noise that no decision can help; see `_controlled_reward`.

        φ of the loss so far gives way to its expectation at expiry, a potential (Ng, Harada and Russell 1999), and what
        the units held beyond the delta earn by the spot's move is taken out: the spot is a martingale, so that has mean
        zero times any slope known before. No action changes what that adds to the expected sum over an episode.
        """
        if paths < 1 or hedgers < 1:
            raise BadInput(f"a world of {paths} paths with {hedgers} hedgers each is empty; give at least 1 of both")
        self.market, self.observer, self.objective = market, observer, objective
        self.contract: Contract = observer.contract
        self.paths, self.group_size, self.num_envs = paths, hedgers, paths * hedgers
        self.generator, self.device = generator, generator.device
        self.scale = self._premium_scale()
        self.outlook = Outlook(torch.tensor(self.scale, device=self.device), 0.0, self.scale / 2)
        self.controlled = controlled
        self.actor_features = len(observer.names)
        self.observation_space = spaces.Box(-float("inf"), float("inf"), (self.actor_features + LOSS_FEATURES,))
        self.action_space = spaces.Box(-1.0, 1.0, (2,))

    def reset(self, staggered: bool = True) -> Tensor:
        """New episodes everywhere; `staggered` starts them at ages drawn uniformly, to end at different times."""
        state, memory = self.market.initial(self.paths)
        self.begin(state, memory, self._ages() if staggered else None)
        return self.features()

    def begin(self, state: Any, memory: Memory, bars_left: Tensor | None = None) -> None:
        """Episodes at `state`, with `bars_left` (P,) of the option's life, or the whole of it."""
        self.state = state
        quote = self.market.quote(state, memory)
        if bars_left is None:
            bars_left = torch.full_like(memory.bars, self.contract.option_bars)
        self.episode = self._opened(quote, memory, bars_left)
        self.observation = self._observed()

    def step(self, action: Tensor) -> Step:
        """`action` (B, 2) raw."""
        band = decision.read(action.view(self.paths, self.group_size, 2), self.observation)
        reward, ended, loss = self.advance(band)
        self.restart(ended)
        shape = (self.num_envs,)
        terminated = ended[:, None].expand(-1, self.group_size).reshape(shape)
        self.last = Step(self.features(), reward.reshape(shape), terminated, loss.reshape(shape))
        return self.last

    def advance(self, band: Band) -> tuple[Tensor, Tensor, Tensor]:
        """Trade to `band`, then live through the bars to the next decision.

        Returns the reward (P, G), which paths ended (P,), and the loss so far (P, G).
        """
        before, seen = self.episode, self.observation
        promise = self._promise() if self.controlled else None
        order = decision.order(band, self.observation.hedge, before.option.units, self.lot(before.option))
        book = books.filled(before.book, before.quote, order, self.contract)
        held = book.units
        quote, memory, option = before.quote, before.memory, before.option
        for _ in range(self.contract.decision_bars):
            book = books.funded(book, quote, self.contract.bar)
            self.state, memory, quote = self.market.step(self.state, memory)
        option = Option(option.strike, option.units, option.bars_left - self.contract.decision_bars)
        ended = option.bars_left <= 0
        book = books.where(ended, self._expired(book, quote, option), book)
        liability = torch.where(ended, 0.0, self._value(quote, option))
        loss = -books.wealth(book, quote, liability) / before.notional[:, None]
        self.episode = Episode(quote, memory, option, before.notional, book, loss)
        self.observation = self._observed()
        if promise is None:
            return self._reward(before.loss, loss), ended, loss
        excess = held - (seen.delta * before.option.units)[:, None]
        earned = excess * ((quote.spot - before.quote.spot) / before.notional)[:, None]
        return self._controlled_reward(promise, earned, ended), ended, loss

    def restart(self, ended: Tensor) -> None:
        """A new option at the market's present state on the paths where `ended` (P,)."""
        if not ended.any():
            return
        now = self.episode
        fresh = self._opened(now.quote, now.memory, torch.full_like(now.option.bars_left, self.contract.option_bars))
        chosen = ended[:, None]
        self.episode = Episode(
            quote=now.quote,
            memory=now.memory,
            option=Option(*(torch.where(ended, a, b) for a, b in _pairs(fresh.option, now.option))),
            notional=torch.where(ended, fresh.notional, now.notional),
            book=books.where(ended, fresh.book, now.book),
            loss=torch.where(chosen, fresh.loss, now.loss),
        )
        self.observation = self._observed()

    def features(self) -> Tensor:
        """(B, F): what the actor sees, then what the critic alone sees."""
        loss = self.episode.loss / self.scale
        above = (loss - self.outlook.dual / self.scale).clamp(min=0)
        own = torch.stack([loss, above, 2 * self._promise().beyond - 1], dim=-1)
        return torch.cat([self.observation.features, own], dim=-1).view(self.num_envs, -1)

    def lot(self, option: Option) -> Tensor:
        """(P,) base units."""
        return self.contract.lot_fraction * option.units

    def _opened(self, quote: Quote, memory: Memory, bars_left: Tensor) -> Episode:
        """At-the-money options sold at their mark."""
        notional = torch.full_like(quote.spot, self.contract.notional)
        option = Option(quote.spot, notional / quote.spot, bars_left)
        book = books.opened(self._value(quote, option), self.group_size)
        return Episode(quote, memory, option, notional, book, torch.zeros_like(book.cash))

    def _expired(self, book: Book, quote: Quote, option: Option) -> Book:
        """The hedge closed in the market and the payoff paid."""
        book = books.filled(book, quote, -book.units, self.contract)
        return books.settled(book, option.units * (quote.spot - option.strike).clamp(min=0))

    def _value(self, quote: Quote, option: Option) -> Tensor:
        tau = option.bars_left.clamp(min=0).to(quote.spot.dtype) * self.contract.bar
        return option.units * black_scholes.call_price(quote.spot, option.strike, tau, quote.implied_volatility)

    def _observed(self) -> Observation:
        now = self.episode
        return self.observer.observe(now.quote, now.memory, now.option, now.book.units)

    def _reward(self, before: Tensor, after: Tensor) -> Tensor:
        transform, dual = self.objective.transform, self.outlook.dual
        return (transform(before, dual) - transform(after, dual)) / self.scale

    def _controlled_reward(self, promise: Promise, earned: Tensor, ended: Tensor) -> Tensor:
        """What was promised less what is now, and less what the excess over the delta `earned` by the spot's move."""
        now = self._promise().worth
        final = self.objective.transform(self.episode.loss, self.outlook.dual)
        now = torch.where(ended[:, None], final, now)
        return (promise.worth - now - self.objective.slope(promise.beyond) * earned) / self.scale

    def _promise(self) -> Promise:
        """Of a final loss that is normal, as late losses were, but for the share of the option's time value left."""
        seen, outlook = self.observation, self.outlook
        value = seen.dollar_gamma * seen.implied_volatility.square() * seen.time_to_expiry
        share = (value / self.scale + LEAST_SHARE)[:, None]
        mean, spread = self.episode.loss + outlook.drift * share, outlook.spread * share
        beyond: Tensor = torch.special.ndtr((mean - outlook.dual) / spread)
        return Promise(self.objective.prospect(mean, spread, outlook.dual), beyond)

    def _premium_scale(self) -> float:
        """A usual premium per notional, 0.4·σ√T: the unit of rewards."""
        return 0.4 * self.observer.calibration.reference_volatility * math.sqrt(self.contract.life)

    def _ages(self) -> Tensor:
        """Bars left (P,), whole decisions from 1 to the option's life."""
        high = self.contract.decisions + 1
        drawn = torch.randint(1, high, (self.paths,), generator=self.generator, device=self.device)
        return drawn * self.contract.decision_bars


def _pairs(one: Option, other: Option) -> list[tuple[Tensor, Tensor]]:
    return list(zip(vars(one).values(), vars(other).values(), strict=True))
