"""Whalley and Wilmott's band around the Black-Scholes delta."""

from __future__ import annotations

from envs import bands
from envs.decision import Band
from envs.observation import Observation


class WhalleyWilmott:
    """`risk_aversion`: absolute risk aversion times the notional, to be tuned."""

    name = "Whalley-Wilmott"

    def __init__(self, risk_aversion: float) -> None:
        self.risk_aversion = risk_aversion

    def band(self, observation: Observation) -> Band:
        width = bands.whalley_wilmott(observation.cost_rate, observation.dollar_gamma, self.risk_aversion)
        centre, half = (value[:, None].expand_as(observation.hedge) for value in (observation.delta, width))
        return Band(centre - half, centre + half)
