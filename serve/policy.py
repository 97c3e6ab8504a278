"""The trained policy as an adapter: a question in, an answer in events out, whatever goes wrong."""

from __future__ import annotations

import torch

from agents.network import ActorNetwork
from serve.clock import SECOND, Clock
from serve.commands import Infer
from serve.events import Inference
from serve.market import DTYPE


class NetworkPolicy:
    """Deterministic action of the actor, float64 on the CPU."""

    def __init__(self, network: ActorNetwork, clock: Clock, limit_seconds: float) -> None:
        """An answer that took longer than `limit_seconds` of the clock is an error."""
        self._network, self._clock, self._limit = network, clock, limit_seconds

    def answer(self, question: Infer) -> Inference:
        began = self._clock.now()
        try:
            with torch.inference_mode():
                action = self._network(torch.tensor(question.features, dtype=DTYPE))
        except Exception as error:  # an answer in any case: the breaker judges it
            return Inference(began, question.request, None, f"{type(error).__name__}: {error}")
        ended = self._clock.now()
        if ended - began > self._limit * SECOND:
            return Inference(ended, question.request, None, f"answer took {(ended - began) / SECOND:.1f} s")
        return Inference(ended, question.request, tuple(action.tolist()), "")
