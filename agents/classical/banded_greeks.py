"""Options in a greek band, what is linear in Zakamouline's: the classical hedge that raw action 0 is."""

from __future__ import annotations

from dataclasses import replace

import torch

from agents.base import Classical
from agents.classical.zakamouline import Zakamouline
from envs import bands, decision
from envs.decision import Band
from envs.observation import LEAST_WIDTH, Observation


class BandedGreeks(Classical):
    """`risk_aversion` as in `Zakamouline`, `half_width` of the net greek as in `GreekBand`; both to be tuned."""

    name = "greek band + Zakamouline"
    start = 0.5
    after = Zakamouline.name
    options = True

    def __init__(self, risk_aversion: float, half_width: float) -> None:
        self.risk_aversion, self.half_width = risk_aversion, half_width

    def band(self, observation: Observation) -> Band:
        scene, hedges, limit = observation.scene, observation.scene.contract.hedges, observation.limit
        centre = scene.neutral(scene.stretched_deltas(self.risk_aversion), observation.worth)
        linear = bands.zakamouline_half_width(
            scene.cost_rate,
            scene.dollar_gamma,
            self.risk_aversion,
            observation.time_to_expiry,
            observation.implied_volatility,
        )
        widths = [
            width if hedges[k].instrument.linear else (self.half_width / scene.greeks[k, k]).expand_as(width)
            for k, width in enumerate(linear.unbind(-1))
        ]
        own = replace(
            observation,
            centre=centre.maximum(-limit).minimum(limit),
            half_width=torch.stack(widths, -1).minimum(limit).clamp(min=LEAST_WIDTH),
        )
        return decision.read(observation.hedge.new_zeros((*observation.hedge.shape[:2], 2 * len(hedges))), own)
