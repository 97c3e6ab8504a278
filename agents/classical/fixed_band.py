"""A band of constant half-width around the Black-Scholes delta."""

from __future__ import annotations

import torch

from agents.base import Classical, around
from envs.decision import Band
from envs.observation import Observation


class FixedBand(Classical):
    """`half_width`: hedge per base unit of the book, to be tuned."""

    name = "fixed band"
    start = 0.05

    def __init__(self, half_width: float) -> None:
        self.half_width = half_width

    def band(self, observation: Observation) -> Band:
        return around(observation, observation.neutral, torch.full_like(observation.limit, self.half_width))
