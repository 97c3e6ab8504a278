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
    """What each of G agents made of each of N paths: (N, G), fractions of the book's notional."""

    loss: Tensor  # at the end, costs included; negative is a gain
    fees: Tensor  # to venues, gas and liquidation fees among them
    slippage: Tensor  # lost to spread and impact
    funding: Tensor
    turnover: Tensor  # notional traded, over all instruments
    trades: Tensor  # share of the instruments' decisions that traded, the close at the end among them
    liquidated: Tensor  # share of the instruments that the venue closed


def run(
    worlds: Iterator[HedgingWorld], agents: Sequence[Agent], progress: Callable[[int], None] = lambda paths: None
) -> Outcome:
    """Every agent on the paths of every world, each begun at the start of its episodes."""
    blocks = []
    for world in worlds:
        blocks.append(_carried(world, agents))
        progress(world.paths)
    return joined(blocks, 0)


def joined(parts: Sequence[Outcome], axis: int) -> Outcome:
    """More paths along `axis` 0, more agents on the same paths along 1."""
    return Outcome(*(torch.cat([getattr(part, f.name) for part in parts], axis) for f in fields(Outcome)))


def joint(world: HedgingWorld, agents: Sequence[Agent]) -> Band:
    """(P, G, K): each agent's band for the hedger at its place."""
    bands = [agent.band(world.observation.of(j)) for j, agent in enumerate(agents)]
    return Band(torch.cat([band.lower for band in bands], 1), torch.cat([band.upper for band in bands], 1))


@torch.no_grad()
def _carried(world: HedgingWorld, agents: Sequence[Agent]) -> Outcome:
    for _ in range(world.contract.decisions):
        world.advance(joint(world, agents))
    book, notional = world.episode.book, world.contract.notional
    return Outcome(
        loss=world.episode.loss,
        fees=book.fees / notional,
        slippage=book.slippage / notional,
        funding=book.funding / notional,
        turnover=book.traded.sum(-1) / notional,
        trades=book.trades / ((world.contract.decisions + 1) * book.units.shape[-1]),
        liquidated=book.liquidated.to(book.fees.dtype).mean(-1),
    )
