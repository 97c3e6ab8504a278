"""Holding nothing: what the option alone would lose."""

from __future__ import annotations

import torch

from agents.base import Classical
from envs.decision import Band
from envs.observation import Observation


class NoHedge(Classical):
    name = "no hedge"

    def band(self, observation: Observation) -> Band:
        zero = torch.zeros_like(observation.hedge)
        return Band(zero, zero)
