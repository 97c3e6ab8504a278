"""The one reader of decisions: raw actions set a no-transaction band per instrument, and the bands set the orders."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from envs.observation import Observation
from envs.scene import Scene

REACH = 3.0  # half-widths that a full first action moves the centre
NARROWEST, WIDEST = -5.0, 3.0  # log half-widths that a full second action narrows or widens the band


@dataclass(frozen=True)
class Band:
    """Keep the hedge inside; trade only to the edge. (P, G, K), over the base units of the instrument's asset."""

    lower: Tensor
    upper: Tensor


def read(action: Tensor, observation: Observation) -> Band:
    """The bands of a raw `action` (P, G, 2K), clipped to [-1, 1]: per instrument centre and half-width, in half-widths.

    Action 0 is the tuned classical band; as the width closes the centre goes to what is neutral.
    """
    raw = action.clamp(-1, 1)
    offset, stretch = raw[..., 0::2], raw[..., 1::2]
    unit = observation.half_width
    width = torch.exp(torch.where(stretch < 0, -NARROWEST, WIDEST) * stretch)
    centre = torch.lerp(observation.neutral, observation.centre, width.clamp(max=1)) + REACH * offset * unit
    half, limit = width * unit, observation.limit
    return _towards_neutral(
        Band(
            torch.minimum(torch.maximum(centre - half, -limit), limit),
            torch.minimum(torch.maximum(centre + half, -limit), limit),
        ),
        observation,
    )


def _towards_neutral(band: Band, observation: Observation) -> Band:
    """The bands with their edges between what is held and what is neutral, for the instruments that ask for it."""
    asked = [hedge.towards_neutral for hedge in observation.scene.contract.hedges]
    if not any(asked):
        return band
    held, neutral = observation.hedge, observation.neutral
    low, high, some = torch.minimum(held, neutral), torch.maximum(held, neutral), torch.tensor(asked)
    edges = (band.lower, band.upper)
    return Band(*(torch.where(some.to(e.device), e.maximum(low).minimum(high), e) for e in edges))


def written(band: Band, observation: Observation) -> Tensor:
    """The raw action (P, G, 2K) that `read` makes into `band`, or into what comes nearest to it."""
    unit = observation.half_width
    middle, half = (band.lower + band.upper) / 2, (band.upper - band.lower) / 2
    width = (half / unit).clamp(math.exp(NARROWEST), math.exp(WIDEST))
    stretch = torch.where(width < 1, width.log() / -NARROWEST, width.log() / WIDEST)
    offset = (middle - torch.lerp(observation.neutral, observation.centre, width.clamp(max=1))) / (REACH * unit)
    return torch.stack([offset, stretch], -1).flatten(-2).clamp(-1, 1)


def orders(band: Band, scene: Scene, lot: Tensor, out: Tensor | None = None) -> Tensor:
    """The trades (P, G, K) in base units that bring each hedge to the nearer edge of its band.

    Instruments trade in the contract's order: what an earlier one brings of a later one's greek shifts that one's band.
    Rounded to the nearest whole `lot` (P, 1, K) base units, or not at all where the lot is 0. Nothing is traded, and
    so nothing shifted, where `out` (P, G, K): what the venue shut the hedger out of.
    """
    trades: list[Tensor] = []
    base = scene.columns(scene.book.base)
    for k, hedge in enumerate(scene.hedge.unbind(-1)):
        lower, upper = band.lower[..., k], band.upper[..., k]
        for j, trade in enumerate(trades):
            if (j, k) in scene.greeks:
                shift = trade / base[..., j] * scene.greeks[j, k] / scene.greeks[k, k]
                lower, upper = lower - shift, upper - shift
        wanted = (torch.minimum(torch.maximum(hedge, lower), upper) - hedge) * base[..., k]
        size = lot[..., k]
        trade = torch.where(size > 0, (wanted / size.clamp(min=1e-30)).round() * size, wanted)
        trades.append(trade if out is None else trade.masked_fill(out[..., k], 0.0))
    return torch.stack(trades, -1)
