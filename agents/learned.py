"""The learned policy as a hedger, and the same before it has learned anything."""

from __future__ import annotations

import torch
from torch import Tensor

from agents.network import ActorNetwork
from envs import decision
from envs.decision import Band
from envs.observation import Observation

LOSS = "loss"  # the last input of a policy that sees its loss so far, over a usual premium


def inputs(network: ActorNetwork, observation: Observation) -> Tensor:
    """(P, G, F): the observation's features, and after them the loss where `network` takes one number more."""
    features = observation.features
    if network.features == features.shape[-1]:
        return features
    assert observation.loss is not None, "whoever loads a policy that sees its loss keeps the loss"
    return torch.cat([features, observation.loss[..., None]], -1)


class Learned:
    """Deterministic: the network's raw action, read as a band."""

    name = "PPO"

    def __init__(self, network: ActorNetwork, name: str = name) -> None:
        self.network, self.name = network, name

    def band(self, observation: Observation) -> Band:
        return decision.read(self.network(inputs(self.network, observation)), observation)


class Untrained:
    """Raw action 0: what the policy does before its first update."""

    name = "PPO untrained"

    def band(self, observation: Observation) -> Band:
        zero = observation.hedge.new_zeros((*observation.hedge.shape[:2], 2 * observation.hedge.shape[2]))
        return decision.read(zero, observation)
