"""Leland's hedge: delta at a volatility that has the costs of rehedging in it."""

from __future__ import annotations

import math

from torch import Tensor

from agents.base import Classical, at_stretches, now_and_then
from envs.decision import Band
from envs.observation import Observation

LEAST_SQUARE = 0.04  # of the stretch, where a long gamma's would fall below 0


class Leland(Classical):
    """`every`: decisions from one adjustment to the next, rounded to whole ones; to be tuned."""

    name = "Leland"
    start = 6.0

    def __init__(self, every: float) -> None:
        self.every = every

    def band(self, observation: Observation) -> Band:
        scene = observation.scene
        interval = max(1, round(self.every)) * scene.contract.decision_bars * scene.contract.bar
        each = enumerate(zip(scene.views, scene.exposures, strict=True))
        stretches = [
            stretch(scene.linear_cost(a), exposure.gamma, view.quote.implied_volatility, interval)
            for a, (view, exposure) in each
        ]
        return now_and_then(observation, at_stretches(observation, stretches), self.every)


def stretch(cost_rate: Tensor, gamma: Tensor, volatility: Tensor, interval: float) -> Tensor:
    """√(1 ∓ √(2/π)·k/(σ·√dt)) with k = 2·`cost_rate`, there and back: above 1 where gamma is short.

    Leland (1985), Journal of Finance 40, 1283. `volatility` per √year, `interval` in years; all (P,).
    """
    correction = math.sqrt(2 / math.pi) * 2 * cost_rate / (volatility * math.sqrt(interval))
    return (1 - gamma.sign() * correction).clamp(min=LEAST_SQUARE).sqrt()
