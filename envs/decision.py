"""The one reader of decisions: a raw action sets a no-transaction band, and the band sets the order."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from envs.observation import Observation

REACH = 3.0  # half-widths that a full first action moves the centre
NARROWEST, WIDEST = -5.0, 3.0  # log half-widths that a full second action narrows or widens the band
EXTREMES = (-0.5, 1.5)  # hedge ratios, per unit of option, beyond which no band reaches


@dataclass(frozen=True)
class Band:
    """Keep the hedge inside; trade only to the edge. (P, G), perpetual per unit of option."""

    lower: Tensor
    upper: Tensor


def read(action: Tensor, observation: Observation) -> Band:
    """The band of a raw `action` (P, G, 2), clipped to [-1, 1]: centre and half-width in Zakamouline's half-widths.

    Action 0 is the tuned Zakamouline band; as the width closes the centre goes to the Black-Scholes delta.
    """
    offset, stretch = action.clamp(-1, 1).unbind(-1)
    unit = observation.half_width[:, None]
    width = torch.exp(torch.where(stretch < 0, -NARROWEST, WIDEST) * stretch)
    delta = observation.delta[:, None]
    centre = torch.lerp(delta, observation.band_delta[:, None], width.clamp(max=1)) + REACH * offset * unit
    return Band((centre - width * unit).clamp(*EXTREMES), (centre + width * unit).clamp(*EXTREMES))


def order(band: Band, hedge: Tensor, units: Tensor, lot: Tensor) -> Tensor:
    """The trade (P, G) in base units that brings `hedge` (per unit of option) to the nearer edge of `band`.

    `units` (P,) of option sold; rounded to the nearest whole `lot` (P,) base units, or not at all where the lot is 0.
    """
    target = torch.minimum(torch.maximum(hedge, band.lower), band.upper)
    trade = (target - hedge) * units[:, None]
    size = lot[:, None]
    return torch.where(size > 0, (trade / size.clamp(min=1e-30)).round() * size, trade)
