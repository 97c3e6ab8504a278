"""A band of constant half-width around the Black-Scholes delta."""

from __future__ import annotations

import torch

from envs.decision import Band
from envs.observation import Observation


class FixedBand:
    """`half_width`: perpetual per unit of option, to be tuned."""

    name = "fixed band"

    def __init__(self, half_width: float) -> None:
        self.half_width = half_width

    def band(self, observation: Observation) -> Band:
        centre = observation.delta[:, None].expand_as(observation.hedge)
        half = torch.full_like(centre, self.half_width)
        return Band(centre - half, centre + half)
