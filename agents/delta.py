"""The Black-Scholes delta hedge at the implied volatility, rebalanced at every decision."""

from __future__ import annotations

from envs.decision import Band
from envs.observation import Observation


class Delta:
    name = "delta"

    def band(self, observation: Observation) -> Band:
        centre = observation.delta[:, None].expand_as(observation.hedge)
        return Band(centre, centre)
