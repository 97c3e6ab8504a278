"""A policy watched at its work: every decision on simulated paths, and what became of it beside two other hedges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from agents import register
from agents.base import Agent
from agents.card import Model
from agents.classical.delta import Delta
from agents.learned import Learned
from envs import decision
from envs.book import Book
from envs.contract import Contract
from envs.custody import Custodian, Extremes
from envs.hedging import Episode, HedgingWorld
from envs.instrument import View
from envs.observation import Observation
from envs.portfolio import Portfolio
from envs.scene import Traded
from envs.seeding import generators
from train import attribution, cohort


@dataclass(frozen=True)
class Frame:
    """A decision of the policy on P paths; (P, K) over the base units, with what is traded before an instrument."""

    seen: Observation
    lower: Tensor  # of the band
    upper: Tensor
    neutral: Tensor
    held: Tensor  # after the order
    order: Tensor
    out: Tensor  # bool: the venue has shut the hedger out


@dataclass(frozen=True)
class Recording:
    """P paths from start to end, hedged by G agents of which the policy is the first."""

    contract: Contract
    assets: tuple[str, ...]  # their names
    start: Episode
    frames: tuple[Frame, ...]  # the policy's
    agents: tuple[str, ...]
    earned: Tensor  # (P, G, attribution.TERMS) over the notional
    loss: Tensor  # (P, G) over the notional

    def named(self, place: int) -> str:
        """The hedging instrument at `place`: its kind, and its asset where there are several."""
        instrument = self.contract.hedges[place].instrument
        return instrument.kind if len(self.assets) == 1 else f"{instrument.kind} on {self.assets[instrument.asset]}"

    def column(self, field: str, place: int) -> Tensor:
        """(T, P) of every decision: one field of its frame, for the instrument at `place`."""
        return torch.stack([getattr(frame, field)[:, place] for frame in self.frames])


class Watched(Custodian):
    """Remembers what was held when the bars were over, before the venue has its way."""

    held: Tensor  # (P, G, K) base units

    def enforced(self, book: Book, held: Portfolio, traded: Traded, views: Sequence[View], extremes: Extremes) -> Book:
        self.held = book.units
        return super().enforced(book, held, traded, views, extremes)


def agents(model: Model) -> list[Agent]:
    """The policy, the best tuned band, and delta."""
    tuned = model.card.opponents.tuned
    return [Learned(model.network), *(register.made(n, tuned) for n in (model.card.opponents.best, Delta.name))]


@torch.no_grad()
def run(model: Model, paths: int, seed: int) -> Recording:
    """`paths` simulated paths of the market that the model was trained for."""
    task, hedgers = model.card.task, agents(model)
    (generator,) = generators(seed, 1)
    world = task.world(paths, len(hedgers), generator)
    world.reset(staggered=False)
    world.custodian = venue = Watched(task.contract)
    start, frames, moves = world.episode, [], torch.zeros(paths, len(hedgers), len(attribution.MOVES))
    for _ in range(task.contract.decisions):
        frame, moved = _decided(world, venue, hedgers)
        frames.append(frame)
        moves += moved
    loss = world.episode.loss
    earned = attribution.whole(moves, world.episode.book, loss, task.contract.notional)
    assets = tuple(each.source.asset for each in model.observer.calibrations)
    return Recording(task.contract, assets, start, tuple(frames), tuple(one.name for one in hedgers), earned, loss)


def _decided(world: HedgingWorld, venue: Watched, hedgers: Sequence[Agent]) -> tuple[Frame, Tensor]:
    """The decision at hand, which is then carried out, and what the period after it earned."""
    seen, before = world.observation, world.episode
    band = cohort.joint(world, hedgers)
    order = decision.orders(band, seen.scene, world.lots(), before.book.liquidated)
    world.advance(band)
    moved = attribution.period(world.contract, before, venue.held, seen.scene.views, world.observation.scene.views)
    own, traded = seen.of(0), (order / seen.scene.columns(before.portfolio.base))[:, :1]
    shift = _shift(own, traded)
    lower, upper, neutral = ((edge[:, :1] - shift)[:, 0] for edge in (band.lower, band.upper, own.neutral))
    held = (own.hedge + traded)[:, 0]
    return Frame(own, lower, upper, neutral, held, traded[:, 0], before.book.liquidated[:, 0]), moved


def _shift(seen: Observation, order: Tensor) -> Tensor:
    """(P, 1, K): what the orders before each instrument's bring of its greek, in units of it; see decision.orders."""
    greeks, shift = seen.scene.greeks, torch.zeros_like(order)
    for j, k in greeks:
        if j < k:
            shift[..., k] += order[..., j] * greeks[j, k] / greeks[k, k]
    return shift
