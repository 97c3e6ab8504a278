"""The hedging world: hedging that replicates, and what it costs."""

from __future__ import annotations

import math
from typing import Any

import pytest
from torch import Tensor

from agents.classical.delta import Delta
from agents.classical.delta_gamma import DeltaGamma
from agents.classical.no_hedge import NoHedge
from tests.envs.worlds import carried, contract, free, standard_error, world


def replicated(decision_bars: int, paths: int, **changed: Any) -> Tensor:
    """Losses (paths,) of the delta hedge over 240 hourly bars."""
    made = world(820, paths, contract(bars=240, decision_bars=decision_bars, **changed))
    return carried(made, Delta())[1][:, 0]


def test_hedging_error_falls_with_the_root_of_the_number_of_decisions() -> None:
    """240, 60 and 15 decisions on the same n = 1,500 paths; √(π/4)·σ·vega/√N in the limit (Derman and Kamal 1999).

    Each standard deviation within k = 4 standard errors, √((kurtosis − 1)/(4n)) of itself, and 4 % for finite N.
    """
    n, life = 1500, 240 / 8760
    vega = math.sqrt(life / (2 * math.pi)) * math.exp(-0.125 * 0.64 * life)
    for decision_bars in (1, 4, 16):
        loss = replicated(decision_bars, n)
        std, centred = float(loss.std()), loss - loss.mean()
        kurtosis = float(centred.pow(4).mean()) / std**4
        limit = math.sqrt(math.pi / 4) * 0.8 * vega / math.sqrt(240 / decision_bars)
        assert abs(std / limit - 1) < 4 * math.sqrt((kurtosis - 1) / (4 * n)) + 0.04, decision_bars
        assert abs(float(loss.mean())) < 4 * std / math.sqrt(n)


def test_a_delta_hedge_loses_its_costs_on_average() -> None:
    """Mean loss = mean of fees and slippage, k = 4 standard errors of the loss beyond them, n = 3,000."""
    dear = {**free(), "execution": {"impact": 1e-3}}
    hedging = world(
        821,
        3000,
        contract(hedges=[dear]),
        market={"kind": "gbm", "settings": {"volatility": [0.8], "half_spread": 1e-3}},
    )
    _, loss = carried(hedging, Delta())
    book = hedging.episode.book
    costs = (book.fees + book.slippage) / 1e6
    beyond = (loss - costs)[:, 0]
    assert float(beyond.mean().abs()) < 4 * float(standard_error(beyond))
    assert float(costs.mean()) > 10 * float(standard_error(beyond))


def test_a_fairly_priced_option_has_no_mean_loss_even_unhedged() -> None:
    """k = 4 standard errors, n = 20,000; the hedge takes most of the deviation away, and gamma too most of the rest."""
    n = 20_000
    rules = contract(hedges=[{**free(), "instrument": {"kind": "option", "bars": 96}}, free()], decision_bars=4)
    _, loss = carried(world(822, n, rules, hedgers=3), NoHedge(), Delta(), DeltaGamma())
    assert (loss.mean(0).abs() < 4 * standard_error(loss)).all()
    assert float(loss[:, 1].std()) < 0.35 * float(loss[:, 0].std())
    assert float(loss[:, 2].std()) < 0.5 * float(loss[:, 1].std())


def test_costs_are_what_separates_a_dear_world_from_a_free_one() -> None:
    """On the same paths and holdings: exactly the fees and the slippage booked."""
    free_, paid = (
        world(823, 50, contract(hedges=[hedge])) for hedge in (free(), {**free(), "execution": {"impact": 1e-3}})
    )
    one, other = (carried(each, Delta())[1] for each in (free_, paid))
    book = paid.episode.book
    assert (other - one - (book.fees + book.slippage) / 1e6).abs().max() < 1e-9
    assert (other > one).all()


def test_a_target_delta_is_held() -> None:
    """A long delta of 0.4 kept through a short call's life: its loss is the neutral hedge's less 0.4 of the move."""
    neutral, tilted = (world(824, 200, contract(target={"delta": delta})) for delta in (0.0, 0.4))
    one, other = (carried(each, Delta())[1][:, 0] for each in (neutral, tilted))
    move = tilted.episode.quotes[0].spot / tilted.episode.portfolio.terms[0].strike[:, 0] - 1
    assert (one - other - 0.4 * move).abs().max() < 1e-9


def test_the_loss_versus_rebalancing_of_a_position_is_what_its_fees_repay() -> None:
    """Fees of once the loss: mean 0 when delta-hedged; of none: the loss ½·|Γ|S²σ² is lost. k = 4, n = 4,000."""
    means = []
    for fees in (1.0, 0.0):
        claim = {"instrument": {"kind": "liquidity_position", "fees_over_loss": fees}, "units": 1.0}
        hedging = world(825, 4000, contract(bars=48, decision_bars=1, claims=[claim]))
        _, loss = carried(hedging, Delta())
        means.append((float(loss.mean()), float(standard_error(loss[:, 0]))))
    (fair, error), (bare, bare_error) = means
    assert abs(fair) < 4 * error
    liquidity = 1 / (2 - math.sqrt(1 / 1.25) - math.sqrt(0.8))
    assert bare == pytest.approx(liquidity / 4 * 0.64 * 48 / 8760, abs=4 * bare_error + 1e-5)


def test_two_assets_are_hedged_apart_and_add_up() -> None:
    """Calls on both with their own perpetuals: on the same paths the losses of each alone add up to that of both."""
    market = {"kind": "gbm", "settings": {"volatility": [0.8, 0.6], "correlation": [[1.0, 0.5], [0.5, 1.0]]}}
    claims = [{"instrument": {"bars": 48, "asset": a}} for a in (0, 1)]
    hedges = [free(asset=0), free(asset=1)]
    both, first, second = (
        carried(world(826, 50, contract(claims=own, hedges=hedges), market=market), Delta())[1]
        for own in (claims, claims[:1], claims[1:])
    )
    assert (both - first - second).abs().max() < 1e-9
