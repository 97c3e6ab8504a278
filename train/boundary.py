"""What a gradient through the paths misses: a change of the hedge moves some paths over the line of liquidation.

With m the least distance to liquidation on a path, E φ = E[φ(live)·1{m > 0} + φ(closed)·1{m ≤ 0}], and its slope is
E ∇φ + E[δ(m)·∇m·(φ(live) − φ(closed))]. Paths that came near stand for those on the line: a kernel for Dirac's δ, as
in Liu and Hong (2011), Operations Research 59, 96.
"""

from __future__ import annotations

import torch
from torch import Tensor

from agents.learned import inputs
from agents.network import ActorNetwork
from envs import decision
from envs.decision import Band
from envs.hedging import HedgingWorld
from envs.types import BadInput

FARTHEST = 0.95  # y / (1 + y) from which an account counts as no nearer


def check(world: HedgingWorld) -> None:
    """Raises BadInput unless a liquidation closes all that the hedger holds: margin, and one account."""
    margin, hedges = world.contract.margin, world.contract.hedges
    if margin.mode == "none" or (margin.mode == "isolated" and len(hedges) > 1):
        raise BadInput(
            f"warm_up_boundary: a book with {margin.mode} margin and {len(hedges)} hedges is not closed as one; set it "
            "to 0"
        )


def episode(world: HedgingWorld, network: ActorNetwork, width: float) -> Tensor:
    """(), the mean of an episode's rewards in units of loss, whose gradient counts what liquidation changes.

    `world` holds two hedgers a path: the network's, and one that holds nothing, which is what the other would be after
    its liquidation. `width`: of the kernel, in relative moves of the price to liquidation.
    """
    earned = torch.zeros_like(world.episode.loss[:, 0])
    approaches, losses, fees = [], [], []
    for _ in range(world.contract.decisions):
        seen = world.observation.of(0)
        band = decision.read(network(inputs(network, seen)), seen)
        flat = torch.zeros_like(band.lower)
        reward, _, loss = world.advance(Band(torch.cat([band.lower, flat], 1), torch.cat([band.upper, flat], 1)))
        earned = earned + reward[:, 0]
        approaches.append(_approach(world))
        losses.append(loss.detach())
        fees.append(_fee(world))
    crossing = _crossing(world, torch.stack(approaches[:-1]), torch.stack(losses), torch.stack(fees), width)
    return earned.mean() * world.scale - crossing


def _crossing(world: HedgingWorld, approaches: Tensor, losses: Tensor, fees: Tensor, width: float) -> Tensor:
    """(), whose gradient is that of φ's mean by paths that cross the line; its value has no meaning.

    T decisions, P paths: `approaches` (T − 1, P) after each but the last, `losses` (T, P, 2) and `fees` (T, P).
    """
    least, when = approaches.min(0)
    path = torch.arange(len(least), device=least.device)
    live, flat = losses[-1].unbind(-1)
    closed = losses[when, path, 0] + fees[when, path] + flat - losses[when, path, 1]
    worse = world.objective.transform(closed, world.outlook.dual) - world.objective.transform(live, world.outlook.dual)
    lives = ~world.episode.book.liquidated[:, 0].any(-1)
    return ((1 - least / width).clamp(min=0) * lives * worse).mean()


def _approach(world: HedgingWorld) -> Tensor:
    """(P,): the relative price move that would liquidate the first hedger, about; `margin.distance`'s y."""
    shown = world.observation.features[:, 0, world.observer.names.index("liquidation_distance")]
    cushion = ((shown + 1) / 2).clamp(max=FARTHEST)
    return cushion / (1 - cushion)


def _fee(world: HedgingWorld) -> Tensor:
    """(P,) of closing what the first hedger holds, per notional."""
    scene = world.observation.scene
    held = (scene.hedge[:, 0] * scene.columns(scene.book.base)[:, 0]).detach()
    notional = (held.abs() * scene.traded.mark).sum(-1)
    return world.contract.margin.liquidation_fee * notional / world.contract.notional
