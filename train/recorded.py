"""A policy watched at its work: every decision on simulated paths, and what became of it beside two other hedges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from agents import register
from agents.base import Agent
from agents.card import Model
from agents.classical.delta import Delta
from agents.learned import Learned
from envs import decision
from envs.contract import Contract
from envs.decision import Band
from envs.hedging import Episode, HedgingWorld
from envs.observation import Observation
from envs.seeding import generators
from envs.types import mapped
from train import attribution, cohort


@dataclass(frozen=True)
class Frame:
    """A decision of the policy on P paths, one book on each."""

    seen: Observation
    band: Band
    order: Tensor  # (P, 1, K) over the base units of the book


@dataclass(frozen=True)
class Recording:
    """P paths from start to end, hedged by G agents of which the policy is the first."""

    contract: Contract
    start: Episode
    frames: tuple[Frame, ...]  # the policy's
    agents: tuple[str, ...]
    earned: Tensor  # (P, G, attribution.TERMS) over the notional
    loss: Tensor  # (P, G) over the notional

    @property
    def features(self) -> Tensor:
        """(N, F) of every decision."""
        return torch.cat([frame.seen.features[:, 0] for frame in self.frames])

    def edges(self, place: int) -> Tensor:
        """(N, 2) of every decision: the band's ends of the instrument at `place`, less what is neutral."""
        ends = [(f.band.lower - f.seen.neutral, f.band.upper - f.seen.neutral) for f in self.frames]
        return torch.cat([torch.stack([low, high], -1)[:, 0, place] for low, high in ends])

    def away(self, place: int) -> Tensor:
        """(N,) of every decision: how far from neutral the hedge rests after it, per unit of the book."""
        return torch.cat([(f.seen.hedge + f.order - f.seen.neutral)[:, 0, place] for f in self.frames])


def agents(model: Model) -> list[Agent]:
    """The policy, the best tuned band, and delta."""
    tuned = model.card.opponents.tuned
    return [Learned(model.network), *(register.made(n, tuned) for n in (model.card.opponents.best, Delta.name))]


@torch.no_grad()
def run(model: Model, paths: int, seed: int) -> Recording:
    """`paths` simulated paths of the market that the model was trained for."""
    task = model.card.task
    (generator,) = generators(seed, 1)
    hedgers = agents(model)
    world = task.world(paths, len(hedgers), generator)
    world.reset(staggered=False)
    start, frames, moves = world.episode, [], torch.zeros(paths, len(hedgers), len(attribution.MOVES))
    for _ in range(task.contract.decisions):
        frame, moved = _decided(world, hedgers)
        frames.append(frame)
        moves += moved
    loss = world.episode.loss
    earned = attribution.whole(moves, world.episode.book, loss, task.contract.notional)
    return Recording(task.contract, start, tuple(frames), tuple(one.name for one in hedgers), earned, loss)


def _decided(world: HedgingWorld, hedgers: Sequence[Agent]) -> tuple[Frame, Tensor]:
    """The decision at hand, which is then carried out, and what the period after it earned."""
    seen, before = world.observation, world.episode
    band = cohort.joint(world, hedgers)
    order = decision.orders(band, seen.scene, world.lots(), before.book.liquidated)
    world.advance(band)
    held = _held(before, order, world)
    moved = attribution.period(world.contract, before, held, seen.scene.views, world.observation.scene.views)
    own = mapped(lambda ends: ends[:, :1], band)
    return Frame(seen.of(0), own, (order / seen.scene.columns(before.portfolio.base))[:, :1]), moved


def _held(before: Episode, order: Tensor, world: HedgingWorld) -> Tensor:
    """(P, G, K) units through the period: those at its end, or where they were closed there those at its start."""
    now, begun = world.episode, before.book.units + order
    closed = (now.bars_left <= 0)[:, None, None] | (now.book.liquidated & ~before.book.liquidated)
    listed = torch.zeros(order.shape[-1], dtype=torch.bool)
    listed[list(world.contract.rolling)] = True
    return torch.where(closed | listed, begun, now.book.units)
