"""The Black-Scholes delta hedge at the volatility that past returns say the next bar has."""

from __future__ import annotations

from agents.base import Classical, around, at_volatility
from envs.decision import Band
from envs.observation import Observation


class DeltaFiltered(Classical):
    name = "delta, filtered volatility"

    def band(self, observation: Observation) -> Band:
        scene = observation.scene
        variance = [(view.memory.probability * view.memory.variance).sum(-1) for view in scene.views]
        centre = at_volatility(observation, scene.columns(variance).sqrt())
        return around(observation, centre, 0 * observation.limit)
