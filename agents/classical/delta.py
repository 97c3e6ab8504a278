"""The Black-Scholes delta hedge at implied volatility, adjusted at every decision."""

from __future__ import annotations

from agents.base import Classical, around
from envs.decision import Band
from envs.observation import Observation


class Delta(Classical):
    name = "delta"

    def band(self, observation: Observation) -> Band:
        return around(observation, observation.neutral, 0 * observation.limit)
