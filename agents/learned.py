"""The learned policy as a hedger, and the same before it has learned anything."""

from __future__ import annotations

from agents.network import ActorNetwork
from envs import decision
from envs.decision import Band
from envs.observation import Observation


class Learned:
    """Deterministic: the network's raw action, read as a band."""

    name = "PPO"

    def __init__(self, network: ActorNetwork) -> None:
        self.network = network

    def band(self, observation: Observation) -> Band:
        return decision.read(self.network(observation.features), observation)


class Untrained:
    """Raw action 0: what the policy does before its first update."""

    name = "PPO untrained"

    def band(self, observation: Observation) -> Band:
        zero = observation.hedge.new_zeros((*observation.hedge.shape[:2], 2 * observation.hedge.shape[2]))
        return decision.read(zero, observation)
