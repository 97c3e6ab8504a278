"""The delta that also hedges what implied volatility is expected to do when the spot moves."""

from __future__ import annotations

import math
from dataclasses import replace

from torch import Tensor

from agents.base import Classical, around
from envs import portfolio
from envs.decision import Band
from envs.instrument import View
from envs.observation import Observation

MOVE = 1e-3  # of the log price, either way


class MinimumVariance(Classical):
    """∂V/∂S + ∂V/∂σ·E[dσ | dS]/dS: Hull and White (2017), Journal of Banking and Finance 82, 180.

    Under SABR it is Bartlett's delta (2006). The surface says how it moves with the spot; values are differenced.
    """

    name = "minimum variance"

    def band(self, observation: Observation) -> Band:
        scene = observation.scene
        down, up = (tuple(moved(view, step) for view in scene.views) for step in (-MOVE, MOVE))
        lower, upper = (portfolio.exposures(scene.contract, scene.book, views) for views in (down, up))
        deltas = [
            (upper[a].value - lower[a].value) / (up[a].quote.spot - down[a].quote.spot) for a in range(len(scene.views))
        ]
        return around(observation, scene.neutral(deltas, observation.worth), 0 * observation.limit)


def moved(view: View, log_return: float) -> View:
    """`view` after the spot's `log_return` at once, with the implied volatility that is then expected."""
    quote, growth = view.quote, math.exp(log_return)
    implied: Tensor = view.surface.implied_after(quote, view.memory, log_return)
    return replace(
        view, quote=replace(quote, spot=quote.spot * growth, mark=quote.mark * growth, implied_volatility=implied)
    )
