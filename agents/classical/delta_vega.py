"""Options to vega's target at every decision, then what is linear to delta's."""

from __future__ import annotations

from agents.base import Classical, neutral_to
from envs.decision import Band
from envs.observation import Observation


class DeltaVega(Classical):
    """As far as the limit lets it, whichever greek the contract's options neutralise."""

    name = "delta-vega"
    options = True

    def band(self, observation: Observation) -> Band:
        return neutral_to("vega", observation)
