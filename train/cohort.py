"""A fixed cohort carried to expiry: every agent on the same paths, so that differences are paired."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from agents.base import Agent
from envs.decision import Band
from envs.hedging import HedgingWorld

MEANS = ("fees", "slippage", "funding", "turnover", "trades", "liquidated")
BLOCK = 8192  # paths simulated at a time, so that memory stays flat


@dataclass(frozen=True)
class Outcome:
    """What each of G agents made of N paths, in fractions of the book's notional: a loss a path, and means (G,)."""

    loss: Tensor  # (N, G) at the end, costs included; negative is a gain
    fees: Tensor  # to venues, gas and liquidation fees among them
    slippage: Tensor  # lost to spread and impact
    funding: Tensor
    turnover: Tensor  # notional traded, over all instruments
    trades: Tensor  # share of the instruments' decisions that traded, the close at the end among them
    liquidated: Tensor  # share of the instruments that the venue closed


def run(
    worlds: Iterator[HedgingWorld], agents: Sequence[Agent], progress: Callable[[int], None] = lambda paths: None
) -> Outcome:
    """Every agent on the paths of every world, each begun at the start of its episodes.

    Of all paths only the losses are kept, so that memory grows by one number per path and agent.
    """
    blocks = []
    for world in worlds:
        blocks.append(_carried(world, agents))
        progress(world.paths)
    return joined(blocks)


def joined(parts: Sequence[Outcome]) -> Outcome:
    """Of the paths of all `parts`."""
    share = torch.tensor([len(part.loss) for part in parts], dtype=torch.float64)
    share = share / share.sum()
    means = {name: share @ torch.stack([getattr(part, name) for part in parts]) for name in MEANS}
    return Outcome(torch.cat([part.loss for part in parts]), **means)


def beside(one: Outcome, other: Outcome) -> Outcome:
    """Of the agents of both, on the same paths."""
    return Outcome(*(torch.cat([getattr(one, f.name), getattr(other, f.name)], -1) for f in fields(Outcome)))


def joint(world: HedgingWorld, agents: Sequence[Agent]) -> Band:
    """(P, G, K): each agent's band for the hedger at its place."""
    bands = [agent.band(world.observation.of(j)) for j, agent in enumerate(agents)]
    return Band(torch.cat([band.lower for band in bands], 1), torch.cat([band.upper for band in bands], 1))


@torch.no_grad()
def _carried(world: HedgingWorld, agents: Sequence[Agent]) -> Outcome:
    for _ in range(world.contract.decisions):
        world.advance(joint(world, agents))
    book, notional = world.episode.book, world.contract.notional
    spent = {
        "fees": book.fees / notional,
        "slippage": book.slippage / notional,
        "funding": book.funding / notional,
        "turnover": book.traded.sum(-1) / notional,
        "trades": book.trades / ((world.contract.decisions + 1) * book.units.shape[-1]),
        "liquidated": book.liquidated.double().mean(-1),
    }
    return Outcome(world.episode.loss.cpu(), **{name: each.double().mean(0).cpu() for name, each in spent.items()})
