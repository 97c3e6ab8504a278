"""Markets of the papers begin every episode at their start; recorded and calibrated ones go on."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from agents.learned import Untrained
from envs.hedging import HedgingWorld
from envs.seeding import generators
from tests.train import support

SABR: dict[str, Any] = {"kind": "sabr", "settings": {"volatility": 0.3, "volvol": 2.0}}
PATHS = 4


def world(market: dict[str, Any], bars: int = 4) -> HedgingWorld:
    task = support.task(market, objective={"kind": "mean_std"}, bars=bars, decision_bars=1)
    made = task.world(PATHS, 2, generators(1, 1)[0], torch.float64, controlled=True)
    made.reset(staggered=False)
    return made


@pytest.mark.parametrize(("market", "renewed"), [(SABR, True), (support.BROWNIAN, True), (support.CALIBRATED, False)])
def test_episodes_begin_at_the_start_or_go_on(market: dict[str, Any], renewed: bool) -> None:
    made = world(market)
    begun = made.episode.quotes[0]
    for _ in range(made.contract.decisions):
        made.advance(Untrained().band(made.observation), restart=True)
    again = made.episode.quotes[0]
    assert made.market.renewed is renewed
    assert torch.equal(begun.spot, again.spot) is renewed
    assert torch.equal(begun.implied_volatility, again.implied_volatility) is renewed
    made.advance(Untrained().band(made.observation))
    assert (made.episode.quotes[0].spot != again.spot).all()


def test_the_last_reward_is_of_the_episode_that_ended() -> None:
    """A world that starts anew pays what one that stops does: the jump back to the start is no move of the spot."""
    renewed, stopped = world(SABR), world(SABR)
    for _ in range(renewed.contract.decisions):
        one = renewed.advance(Untrained().band(renewed.observation), restart=True)
        other = stopped.advance(Untrained().band(stopped.observation))
        for mine, theirs in zip(one, other, strict=True):
            torch.testing.assert_close(mine, theirs)
