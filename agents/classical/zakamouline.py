"""Zakamouline's band, at a risk aversion of its own."""

from __future__ import annotations

from agents.base import Classical, around
from envs import bands
from envs.decision import Band
from envs.observation import Observation


class Zakamouline(Classical):
    """`risk_aversion`: absolute risk aversion times the notional, to be tuned."""

    name = "Zakamouline"
    start = 20.0

    def __init__(self, risk_aversion: float) -> None:
        self.risk_aversion = risk_aversion

    def band(self, observation: Observation) -> Band:
        scene, volatility = observation.scene, observation.implied_volatility
        width = bands.zakamouline_half_width(
            scene.cost_rate, scene.dollar_gamma, self.risk_aversion, observation.time_to_expiry, volatility
        ).minimum(observation.limit)
        centre = scene.neutral(scene.stretched_deltas(self.risk_aversion), observation.worth)
        return around(observation, centre, width)
