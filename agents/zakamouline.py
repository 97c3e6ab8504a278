"""Zakamouline's double-asymptotic band, the best one-parameter classical hedge in the literature's own markets."""

from __future__ import annotations

from envs import bands
from envs.decision import Band
from envs.observation import Observation
from envs.pricing import black_scholes


class Zakamouline:
    """`risk_aversion`: absolute risk aversion times the notional, to be tuned."""

    name = "Zakamouline"

    def __init__(self, risk_aversion: float) -> None:
        self.risk_aversion = risk_aversion

    def band(self, observation: Observation) -> Band:
        arguments = (
            observation.cost_rate,
            observation.dollar_gamma,
            self.risk_aversion,
            observation.time_to_expiry,
            observation.implied_volatility,
        )
        volatility = bands.zakamouline_volatility(*arguments)
        delta = black_scholes.call_delta(observation.spot, observation.strike, observation.time_to_expiry, volatility)
        width = bands.zakamouline_half_width(*arguments).clamp(max=1.0)
        centre, half = (value[:, None].expand_as(observation.hedge) for value in (delta, width))
        return Band(centre - half, centre + half)
