"""The step: quote → memory → observe → decide → order → fill → settle, for P market paths and G hedgers on each."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch
from gymnasium import spaces
from torch import Generator, Tensor

from envs import arrivals, decision, portfolio, rewards, rolling, scene
from envs import book as books
from envs.book import Book
from envs.broker import Broker
from envs.calibration import Calibration
from envs.contract import Contract
from envs.custody import Custodian, Extremes
from envs.decision import Band
from envs.instrument import Opening, View
from envs.objective import Objective
from envs.observation import Observer
from envs.portfolio import Portfolio
from envs.rewards import Promise
from envs.rolling import Kept
from envs.scene import Scene
from envs.surface import Surface
from envs.types import BadInput, Quote, added, where
from envs.volatility.memory import Filter, Memory

LOSS_FEATURES = 3  # seen by the critic alone: the loss so far, its excess over the dual, the odds of passing it


class Market(Protocol):
    """P paths of one or more assets: its state is its own business, its memories and quotes are public."""

    @property
    def calibrations(self) -> tuple[Calibration, ...]: ...

    @property
    def filters(self) -> tuple[Filter, ...]: ...

    @property
    def surfaces(self) -> Sequence[Surface]: ...

    @property
    def drift(self) -> float: ...

    @property
    def renewed(self) -> bool: ...

    def initial(self, paths: int) -> tuple[Any, tuple[Memory, ...]]: ...

    def step(self, state: Any, memories: tuple[Memory, ...]) -> tuple[Any, tuple[Memory, ...], tuple[Quote, ...]]: ...

    def quote(self, state: Any, memories: tuple[Memory, ...]) -> tuple[Quote, ...]: ...


class Step(NamedTuple):
    """B = P·G books, those of one path adjacent; after a path's end its next episode has already begun."""

    observation: Tensor  # (B, F)
    reward: Tensor  # (B,)
    terminated: Tensor  # (B,) bool
    loss: Tensor  # (B,) per notional, the finished episode's where terminated


@dataclass(frozen=True)
class Episode:
    """Where the hedgers stand."""

    quotes: tuple[Quote, ...]
    memories: tuple[Memory, ...]
    portfolio: Portfolio
    terms: tuple[Any, ...]  # of each hedging instrument, (P, 1)
    kept: tuple[Kept, ...]  # of each hedging instrument that is listed anew
    book: Book
    loss: Tensor  # (P, G) so far, marked to market, per notional

    @property
    def bars_left(self) -> Tensor:
        """(P,) int64."""
        return self.portfolio.bars_left


class HedgingWorld:
    """A contract's claims hedged with its instruments. Episodes end with the claims; the market itself never stops."""

    def __init__(
        self,
        market: Market,
        contract: Contract,
        objective: Objective,
        paths: int,
        hedgers: int,
        generator: Generator,
        controlled: bool = False,
    ) -> None:
        """`controlled` rewards leave out noise that no decision can help; see `envs/rewards.py`."""
        if paths < 1 or hedgers < 1:
            raise BadInput(f"a world of {paths} paths with {hedgers} hedgers each is empty; give at least 1 of both")
        self.market, self.contract, self.objective = market, contract, objective
        self.observer = Observer(contract, market.calibrations, market.filters, market.surfaces)
        self.paths, self.group_size, self.num_envs = paths, hedgers, paths * hedgers
        self.generator, self.device = generator, generator.device
        volatility = market.calibrations[0].reference_volatility
        self.premium = 0.4 * volatility * math.sqrt(contract.life)  # a usual one per notional
        self.scale = self.premium if contract.usual_loss is None else contract.usual_loss  # the unit of rewards
        self.outlook = rewards.first_outlook(objective, self.scale / 2, self.device)
        self.controlled = controlled and objective.telescopes
        self.instruments = tuple(hedge.instrument for hedge in contract.hedges)
        self.dtype = market.filters[0].start_variance.dtype
        self.broker = Broker(contract, generator, self.dtype)
        self.custodian = Custodian(contract)
        self.actor_features = len(self.observer.names)
        self.observation_space = spaces.Box(-float("inf"), float("inf"), (self.actor_features + LOSS_FEATURES,))
        self.action_space = spaces.Box(-1.0, 1.0, (2 * len(self.instruments),))

    def reset(self, staggered: bool = True) -> Tensor:
        """New episodes everywhere; `staggered` starts them at ages drawn uniformly, to end at different times."""
        state, memories = self.market.initial(self.paths)
        self.begin(state, memories, self._ages() if staggered else None)
        return self.features()

    def begin(self, state: Any, memories: tuple[Memory, ...], bars_left: Tensor | None = None) -> None:
        """Episodes at `state`, with `bars_left` (P,) on the CPU of the book's life, or the whole of it."""
        self.state = state
        if bars_left is None:
            bars_left = torch.full((self.paths,), self.contract.bars)
        counts = torch.bincount(bars_left // self.contract.decision_bars, minlength=self.contract.decisions + 1)
        self._ending = deque(counts.tolist()[1:])  # paths that end with each of the decisions to come
        quotes = self.market.quote(state, memories)
        self.episode = self._opened(quotes, memories, bars_left.to(self.device))
        self._observe()

    def step(self, action: Tensor) -> Step:
        """`action` (B, 2K) raw."""
        raw = action.view(self.paths, self.group_size, -1)
        reward, ended, loss = self.advance(decision.read(raw, self.observation), restart=True)
        shape = (self.num_envs,)
        terminated = ended[:, None].expand(-1, self.group_size).reshape(shape)
        self.last = Step(self.features(), reward.reshape(shape), terminated, loss.reshape(shape))
        return self.last

    def advance(self, band: Band, restart: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Trade to `band`, live through the bars to the next decision, and `restart` what ended.

        Returns the reward (P, G), which paths ended (P,), and the loss so far (P, G).
        """
        before, seen = self.episode, self.observation
        promised = self._promise() if self.controlled else None
        now, held, ended = self._lived(band)
        some_ended = self._ending.popleft() > 0
        self._ending.append(self.paths - sum(self._ending) if restart else 0)
        final = self._final_loss(now) if some_ended else None
        self.episode = self._restarted(now, ended) if restart and some_ended else now
        self._observe()
        loss = self.episode.loss
        if final is not None:
            loss = where(ended, final, loss)
            if not restart:
                self.episode = replace(self.episode, loss=loss)
        dual = self.outlook.dual
        if promised is None:
            return self.objective.reward(before.loss, loss, dual) / self.scale, ended, loss
        growth = math.exp(self.market.drift * self.contract.bar * self.contract.decision_bars)
        earned = rewards.earned(seen.scene, held, now.quotes, growth)
        reward = rewards.controlled(self.objective, dual, promised, self._promise(), earned, ended, loss)
        return reward / self.scale, ended, loss

    def restart(self, ended: Tensor) -> None:
        """New claims at the market's present state on the paths where `ended` (P,), after an `advance` without."""
        self._ending.pop()
        self._ending.append(self.paths - sum(self._ending))
        self.episode = self._restarted(self.episode, ended)
        self._observe()

    def features(self) -> Tensor:
        """(B, F): what the actor sees, then what the critic alone sees; in memory feature by feature."""
        dual = self.outlook.dual
        loss, above = self.episode.loss, (self.episode.loss - self.objective.centre(dual)).clamp(min=0)
        odds = self.objective.odds(*self._promise(), dual)
        own = torch.stack([loss / self.scale, above / self.scale, 2 * odds - 1])
        return torch.cat([self.observation.features.permute(2, 0, 1), own]).view(-1, self.num_envs).T

    def lots(self) -> Tensor:
        """(P, 1, K) base units."""
        fractions = [hedge.lot_fraction for hedge in self.contract.hedges]
        current = self.observation.scene
        return current.columns(self.episode.portfolio.base) * current.hedge.new_tensor(fractions)

    def _lived(self, band: Band) -> tuple[Episode, Tensor, Tensor]:
        """The episode a decision on, not yet marked; the units (P, G, K) held from its start; which paths ended."""
        before, now = self.episode, self.observation.scene
        order = decision.orders(band, now, self.lots(), before.book.liquidated)
        book, waiting = self.broker.sent(before.book, now.traded, order)
        held, views, quotes, memories = book.units, now.views, before.quotes, before.memories
        extremes = Extremes.of(quotes)
        for bar in range(self.contract.decision_bars):
            book = self.broker.carried(book, before.portfolio, before.terms, views)
            openings = quotes
            self.state, memories, quotes = self.market.step(self.state, memories)
            views = self.observer.views(quotes, memories)
            extremes = extremes.widened(quotes)
            if bar == 0 and waiting is not None:
                then = scene.traded(self.contract, self._aged(before.terms, 1), views)
                book = self.broker.filled(book, then, waiting)
        terms = self._aged(before.terms, self.contract.decision_bars)
        claims = portfolio.aged(self.contract, before.portfolio, self.contract.decision_bars)
        book = self.custodian.enforced(book, claims, scene.traded(self.contract, terms, views), views, extremes)
        kept = rolling.aged(self.contract, before.kept, self.contract.decision_bars)
        after = Episode(quotes, memories, claims, terms, kept, book, before.loss)
        after = self._relisted(after, views) if self.contract.rolling else after
        after = self._settled(after, openings, views)
        after = self._with_arrivals(after, views) if self.contract.arriving else after
        return after, held, after.bars_left <= 0

    def _settled(self, now: Episode, openings: tuple[Quote, ...], views: tuple[View, ...]) -> Episode:
        """What expired paid; where the episode ended, all else turned into money too."""
        ends = self._ending[0] > 0
        if ends or self.contract.staged:
            claims, cash = portfolio.settled(self.contract, now.portfolio, openings, views)
            at = (openings, views, now.bars_left)
            kept, book = rolling.settled(self.contract, now.kept, books.credited(now.book, cash), *at)
            now = replace(now, portfolio=claims, kept=kept, book=book)
        if not ends:
            return now
        traded = scene.traded(self.contract, now.terms, views)
        return replace(now, book=self.broker.closed(now.book, traded, now.bars_left <= 0))

    def _relisted(self, now: Episode, views: tuple[View, ...]) -> Episode:
        at = (views, now.bars_left, self.generator)
        kept, book, terms = rolling.relisted(self.contract, now.kept, now.book, now.terms, *at)
        return replace(now, kept=kept, book=book, terms=terms)

    def _with_arrivals(self, now: Episode, views: tuple[View, ...]) -> Episode:
        claims, cash = arrivals.joined(self.contract, now.portfolio, views, self.generator)
        return replace(now, portfolio=claims, book=books.credited(now.book, cash))

    def _restarted(self, now: Episode, ended: Tensor) -> Episode:
        quotes, memories = now.quotes, now.memories
        if self.market.renewed:
            begun = self.market.initial(self.paths)
            self.state, memories = where(ended, begun, (self.state, memories))
            quotes = self.market.quote(self.state, memories)
        fresh = self._opened(quotes, memories, torch.full_like(now.bars_left, self.contract.bars))
        return where(ended, fresh, now)

    def _opened(self, quotes: tuple[Quote, ...], memories: tuple[Memory, ...], bars_left: Tensor) -> Episode:
        """Claims opened at their marks."""
        views, contract = self.observer.views(quotes, memories), self.contract
        claims, premium = portfolio.opened(contract, views, bars_left, self.generator)
        opening = Opening(1, bars_left, contract.bars, contract.decision_bars, self.generator)
        terms = tuple(each.opened(views[each.asset], opening) for each in self.instruments)
        kept = rolling.opened(contract, terms, claims.base, self.group_size)
        book = books.opened(premium, self.group_size, len(terms))
        return Episode(quotes, memories, claims, terms, kept, book, torch.zeros_like(book.claims))

    def _observe(self) -> None:
        """Mark the episode and make its observation."""
        now = self.episode
        views = self.observer.views(now.quotes, now.memories)
        traded = scene.traded(self.contract, now.terms, views)
        cushion = self.custodian.cushion(now.book, now.portfolio, traded, views)
        kept = rolling.holdings(self.contract, now.kept, views)
        current = Scene(self.contract, views, now.portfolio, traded, now.book.units, kept)
        owned = added([current.own(asset, "value") for asset in range(len(views))])
        worth = books.wealth(now.book, traded.mark, owned)
        coin = self.contract.numeraire == "coin"
        loss = -worth / self._unit(now)
        self.observation = self.observer.observe(current, cushion, worth if coin else None, loss / self.scale)
        self.episode = replace(now, loss=loss)

    def _unit(self, now: Episode) -> Tensor | float:
        """What a loss is counted over: the notional, in coin at the present spot where coin is the numeraire."""
        if self.contract.numeraire == "quote":
            return self.contract.notional
        return (now.portfolio.base[0] * now.quotes[0].spot)[:, None]

    def _final_loss(self, now: Episode) -> Tensor:
        """(P, G), where nothing is held any more but coins."""
        coins = added([held * q.spot for held, q in zip(now.portfolio.coins, now.quotes, strict=True)])
        return -(now.book.claims + now.book.cash.sum(-1) + coins[:, None]) / self._unit(now)

    def _promise(self) -> Promise:
        return rewards.promise(self.outlook, self.episode.loss, self.observation.scene, self.premium)

    def _aged(self, terms: tuple[Any, ...], bars: int) -> tuple[Any, ...]:
        return tuple(each.aged(own, bars) for each, own in zip(self.instruments, terms, strict=True))

    def _ages(self) -> Tensor:
        """Bars left (P,) on the CPU, whole decisions from 1 to the book's life."""
        high = self.contract.decisions + 1
        drawn = torch.randint(1, high, (self.paths,), generator=self.generator, device=self.device)
        return drawn.cpu() * self.contract.decision_bars
