"""A fixed cohort carried to expiry: every agent on the same paths, so that differences are paired."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from agents.base import Agent
from envs.decision import Band
from envs.hedging import HedgingWorld

BLOCK = 8192  # paths simulated at a time, so that memory stays flat


@dataclass(frozen=True)
class Outcome:
    """What each of G agents made of each of N paths: (N, G), fractions of the option's notional."""

    loss: Tensor  # at expiry, costs included; negative is a gain
    fees: Tensor  # fee, spread and impact
    funding: Tensor
    turnover: Tensor  # notional traded
    trades: Tensor  # share of decisions that traded, the close at expiry among them


def run(
    worlds: Iterator[HedgingWorld], agents: Sequence[Agent], progress: Callable[[int], None] = lambda paths: None
) -> Outcome:
    """Every agent on the paths of every world, each begun at the start of its episodes."""
    blocks = []
    for world in worlds:
        blocks.append(_carried(world, agents))
        progress(world.paths)
    return Outcome(*(torch.cat([getattr(b, f.name) for b in blocks]) for f in fields(Outcome)))


@torch.no_grad()
def _carried(world: HedgingWorld, agents: Sequence[Agent]) -> Outcome:
    for _ in range(world.contract.decisions):
        bands = [agent.band(world.observation.of(j)) for j, agent in enumerate(agents)]
        lower = torch.cat([band.lower for band in bands], dim=-1)
        upper = torch.cat([band.upper for band in bands], dim=-1)
        world.advance(Band(lower, upper))
    book, notional = world.episode.book, world.episode.notional[:, None]
    return Outcome(
        loss=world.episode.loss,
        fees=book.fees / notional,
        funding=book.funding / notional,
        turnover=book.traded / notional,
        trades=book.trades / (world.contract.decisions + 1),
    )
