"""The Black-Scholes delta hedge at the volatility forecast from past returns, averaged to the last expiry."""

from __future__ import annotations

from agents.base import Classical, around, at_volatility
from envs.decision import Band
from envs.observation import Observation


class DeltaForecast(Classical):
    name = "delta, forecast volatility"

    def band(self, observation: Observation) -> Band:
        centre = at_volatility(observation, observation.forecast_volatility)
        return around(observation, centre, 0 * observation.limit)
