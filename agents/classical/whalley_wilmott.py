"""Whalley and Wilmott's band."""

from __future__ import annotations

from agents.base import Classical, around
from envs import bands
from envs.decision import Band
from envs.observation import Observation


class WhalleyWilmott(Classical):
    """`risk_aversion`: absolute risk aversion times the notional, to be tuned."""

    name = "Whalley-Wilmott"
    start = 100.0

    def __init__(self, risk_aversion: float) -> None:
        self.risk_aversion = risk_aversion

    def band(self, observation: Observation) -> Band:
        scene = observation.scene
        width = bands.whalley_wilmott(scene.cost_rate, scene.dollar_gamma, self.risk_aversion)
        return around(observation, observation.neutral, width)
