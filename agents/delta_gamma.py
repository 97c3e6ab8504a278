"""Every greek that an instrument hedges, neutral at every decision: delta and gamma, or delta and vega."""

from __future__ import annotations

from agents.base import around
from envs.decision import Band
from envs.observation import Observation


class DeltaGamma:
    """Options to their greek's target first, as far as the limit lets them, then what is linear to delta's."""

    name = "delta-gamma"

    def band(self, observation: Observation) -> Band:
        within = observation.neutral.maximum(-observation.limit).minimum(observation.limit)
        return around(observation, within, 0 * observation.limit, options=True)
