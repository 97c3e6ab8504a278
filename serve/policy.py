"""Trained policies as an adapter: a question in, an answer in events out, whatever goes wrong."""

from __future__ import annotations

import torch

from agents.network import ActorNetwork
from serve.clock import SECOND, Clock
from serve.commands import Infer
from serve.events import Inference
from serve.holdings import DTYPE
from serve.sheet import Sheet


class NetworkPolicies:
    """Deterministic actions of actors by the SHA-256 of their weights, float64 on the CPU.

    One is added whole or not at all, so no question meets a model that is half loaded.
    """

    def __init__(self, clock: Clock, limit_seconds: float) -> None:
        """An answer that took longer than `limit_seconds` of the clock is an error."""
        self._clock, self._limit = clock, limit_seconds
        self._networks: dict[str, Sheet] = {}

    def add(self, model: str, network: ActorNetwork) -> None:
        inputs = {"features": [torch.zeros(network.features, dtype=DTYPE)]}
        self._networks[model] = Sheet(lambda rows: {"action": [network(rows["features"][0])]}, inputs)

    def answer(self, question: Infer) -> Inference:
        began = self._clock.now()
        try:
            network = self._networks[question.model]
            network.put("features", (question.features,))
            (action,) = network.result("action")
        except Exception as error:  # an answer in any case: the breaker judges it
            return Inference(began, question.request, question.model, None, f"{type(error).__name__}: {error}")
        ended = self._clock.now()
        if ended - began > self._limit * SECOND:
            words = f"answer took {(ended - began) / SECOND:.1f} s"
            return Inference(ended, question.request, question.model, None, words)
        return Inference(ended, question.request, question.model, tuple(action), "")
