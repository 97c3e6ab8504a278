"""The one interface of every hedger, classical or learned."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from envs.decision import Band
from envs.observation import Observation


class Agent(Protocol):
    """Sees one hedger's observation (P, 1, ·) and says within which bands its hedges may stay."""

    name: str

    def band(self, observation: Observation) -> Band: ...


def around(observation: Observation, centre: Tensor, half_width: Tensor, options: bool = False) -> Band:
    """Bands at `centre` ± `half_width`, broadcast to (P, 1, K); hedging options are left alone unless `options`."""
    shape = observation.hedge
    lower, upper = (centre - half_width).expand_as(shape), (centre + half_width).expand_as(shape)
    if options or all(hedge.instrument.linear for hedge in observation.scene.contract.hedges):
        return Band(lower, upper)
    traded = torch.tensor([h.instrument.linear for h in observation.scene.contract.hedges], device=shape.device)
    return Band(torch.where(traded, lower, shape), torch.where(traded, upper, shape))
