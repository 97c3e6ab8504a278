"""Rewards without the noise that no decision can help.

φ of the loss so far gives way to its expectation at the end, a potential (Ng, Harada and Russell 1999), and what the
net delta earns by the spot's move is taken out: the spot is a martingale, so that has mean zero times any slope known
before. No action changes what that adds to the expected sum over an episode. P paths, G hedgers on each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from envs.objective import Objective
from envs.scene import Scene
from envs.types import Quote, added

LEAST_SHARE = 0.02  # of a usual premium, left at stake when the claims' time value is gone


@dataclass(frozen=True)
class Outlook:
    """What learning knows of final losses, per notional: it sets the rewards, and moves only between rollouts."""

    dual: Tensor  # of the objective
    drift: float  # mean change of the loss over a whole life
    spread: float  # standard deviation of that change


class Promise(NamedTuple):
    """The final loss that the loss so far promises, (P, G): normal."""

    mean: Tensor
    spread: Tensor


def first_outlook(objective: Objective, spread: float, device: torch.device) -> Outlook:
    """Before any loss was seen: normal, with mean 0 and standard deviation `spread`."""
    mean = torch.tensor(0.0, device=device)
    return Outlook(objective.guess(mean, mean + spread), 0.0, spread)


def promise(outlook: Outlook, loss: Tensor, now: Scene, premium: float) -> Promise:
    """Of a final loss that moves on as late ones did, but for the share that is left.

    `loss` (P, G) so far, per notional; `premium`: a usual one, per notional.
    """
    share = (_share_left(now, premium) + LEAST_SHARE)[:, None]
    return Promise(loss + outlook.drift * share, outlook.spread * share)


def _share_left(now: Scene, premium: float) -> Tensor:
    """(P,): of the claims' time value; where claims come in or outlive the book, √ of its life, as that value falls."""
    if now.contract.ends_early:
        return (now.book.bars_left / now.contract.bars).sqrt()
    each = zip(now.exposures, now.views, now.times, now.book.base, strict=True)
    value = [
        exposure.gamma.abs() * view.quote.spot * view.quote.implied_volatility.square() * time / base
        for exposure, view, time, base in each
    ]
    return added(value) / premium


def controlled(
    objective: Objective, dual: Tensor, before: Promise, after: Promise, earned: Tensor, ended: Tensor, loss: Tensor
) -> Tensor:
    """(P, G): what was promised less what is now, and less what the net delta `earned` (P, G) by the spots' moves.

    Where the episode `ended` (P,), the final `loss` (P, G) stands for the promise.
    """
    now = torch.where(ended[:, None], objective.transform(loss, dual), objective.prospect(*after, dual))
    return objective.prospect(*before, dual) - now - objective.slope(*before, dual) * earned


def earned(start: Scene, units: Tensor, quotes: Sequence[Quote], growth: float) -> Tensor:
    """(P, G) per notional: what the net delta with `units` (P, G, K) held made of the spots' moves off the forward.

    `quotes`: at the end of the move, which takes the forward to `growth` times the spot.
    """
    nets = net_deltas(start, units)
    moves = [quote.spot - growth * view.quote.spot for quote, view in zip(quotes, start.views, strict=True)]
    return added([net * move[:, None] for net, move in zip(nets, moves, strict=True)]) / start.contract.notional


def net_deltas(start: Scene, units: Tensor) -> list[Tensor]:
    """Per asset (P, G): delta of `units` (P, G, K) held and of all that is not traded any more, base units."""
    nets = [start.own(asset, "delta") for asset in range(len(start.views))]
    for k, asset in enumerate(start.assets):
        nets[asset] = nets[asset] + units[..., k] * start.traded.delta[:, k, None]
    return nets
