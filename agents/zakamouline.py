"""Zakamouline's double-asymptotic band.

The best of the one-parameter classical hedges in the literature's own markets.
"""

from __future__ import annotations

from envs import bands
from envs.decision import Band
from envs.observation import Observation
from envs.pricing import black_scholes
from envs.types import HOUR


class Zakamouline:
    """`risk_aversion`: absolute risk aversion times the notional, to be tuned."""

    name = "Zakamouline"

    def __init__(self, risk_aversion: float) -> None:
        self.risk_aversion = risk_aversion

    def band(self, observation: Observation) -> Band:
        lasting = observation.time_to_expiry.clamp(min=HOUR)
        arguments = (
            observation.cost_rate,
            observation.dollar_gamma,
            self.risk_aversion,
            lasting,
            observation.implied_volatility,
        )
        volatility = bands.zakamouline_volatility(*arguments)
        delta = black_scholes.call_delta(observation.spot, observation.strike, lasting, volatility)
        width = bands.zakamouline_half_width(*arguments).clamp(max=1.0)
        centre, half = (value[:, None].expand_as(observation.hedge) for value in (delta, width))
        return Band(centre - half, centre + half)
