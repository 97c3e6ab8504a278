"""Options traded only as far as the net gamma or vega leaves a constant band; what is linear follows delta."""

from __future__ import annotations

import torch

from agents.base import Classical, around
from envs.decision import Band
from envs.observation import Observation


class GreekBand(Classical):
    """`half_width`: of the net greek, as `Target` of the contract counts it; to be tuned."""

    name = "greek band"
    start = 0.5
    options = True

    def __init__(self, half_width: float) -> None:
        self.half_width = half_width

    def band(self, observation: Observation) -> Band:
        scene = observation.scene
        widths = [
            torch.zeros_like(greek) if hedge.instrument.linear else self.half_width / greek
            for hedge, greek in ((h, scene.greeks[k, k]) for k, h in enumerate(scene.contract.hedges))
        ]
        limit = observation.limit
        within = observation.neutral.maximum(-limit).minimum(limit)
        return around(observation, within, torch.stack(widths, -1).minimum(limit), options=True)
