"""What every hedger is: an observation in, a no-transaction band out."""

from __future__ import annotations

from typing import Protocol

from envs.decision import Band
from envs.observation import Observation


class Agent(Protocol):
    """Decides for a batch at once and keeps no state between decisions."""

    name: str

    def band(self, observation: Observation) -> Band:
        """Where the hedge may rest, (P, G) perpetual per unit of option."""
        ...
