"""A regime that never ends."""

from __future__ import annotations

from envs.markets.garch import GarchMarket, State
from train.scenario import Scenario, Start, confined, moved_into


class EndlessStorm(Scenario):
    """The stormy half of the calibrated regimes from the opening to the end."""

    name = "endless storm"
    about = "the market is in its stormy regimes from the opening on and never leaves them"

    def market(self, market: GarchMarket) -> GarchMarket:
        return confined(market, stormy=True)

    def state(self, start: Start) -> State:
        return moved_into(start, stormy=True)
