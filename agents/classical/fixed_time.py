"""The Black-Scholes delta hedge, adjusted now and then."""

from __future__ import annotations

from agents.base import Classical, now_and_then
from envs.decision import Band
from envs.observation import Observation


class FixedTime(Classical):
    """`every`: decisions from one adjustment to the next, rounded to whole ones; to be tuned."""

    name = "fixed time"
    start = 6.0

    def __init__(self, every: float) -> None:
        self.every = every

    def band(self, observation: Observation) -> Band:
        return now_and_then(observation, observation.neutral, self.every)
