"""The deltas of other volatilities, and those that trade now and then."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from agents.base import Agent
from agents.classical import leland
from agents.classical.delta import Delta
from agents.classical.delta_filtered import DeltaFiltered
from agents.classical.delta_forecast import DeltaForecast
from agents.classical.fixed_time import FixedTime
from agents.classical.leland import Leland
from agents.classical.minimum_variance import MinimumVariance, moved
from envs.hedging import HedgingWorld
from envs.markets import garch as simulation
from envs.pricing import black_scholes, hagan, heston
from envs.seeding import generators
from tests.train import support
from train import cohort

PATHS = 50
SABR: dict[str, Any] = {"kind": "sabr", "settings": {"volatility": 0.5, "volvol": 1.2, "rho": -0.6, "beta": 0.7}}
FREE = {"instrument": {"kind": "perpetual"}, "lot_fraction": 0.0, "execution": {"tiers": [{"maker": 0, "taker": 0}]}}
HESTON: dict[str, Any] = {"kind": "heston", "settings": {"xi": 0.8, "rho": -0.7, "v0": 0.25, "theta": 0.25}}


@pytest.fixture(autouse=True)
def _small_market(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about the start."""
    monkeypatch.setattr(simulation, "BURN_IN", 200)


def world(market: dict[str, Any] = support.BROWNIAN, steps: int = 0, **contract: Any) -> HedgingWorld:
    """So many decisions on at delta; lots so small that they do not matter."""
    hedges = [{"instrument": {"kind": "perpetual"}, "lot_fraction": 1e-9}]
    made = support.task(market, **{"hedges": hedges, **contract}).world(PATHS, 1, generators(61, 1)[0], torch.float64)
    made.reset(staggered=False)
    for _ in range(steps):
        made.advance(Delta().band(made.observation))
    return made


def closed(agent: Agent, made: HedgingWorld) -> Tensor:
    """(P,) the hedge that the agent's band is closed at."""
    band = agent.band(made.observation)
    assert torch.equal(band.lower, band.upper)
    return band.lower[:, 0, 0]


def call_delta(made: HedgingWorld, volatility: Tensor) -> Tensor:
    """(P,) of the call sold at `volatility`, by Black and Scholes."""
    view, (terms,) = made.observation.scene.views[0], made.episode.portfolio.terms
    years = view.years(terms.bars_left[:, 0])
    return black_scholes.delta(view.quote.spot, terms.strike[:, 0], years, volatility)


def test_lelands_volatility_at_a_point() -> None:
    """σ = 20 %, 1 % there and back, weekly: √(2/π)·0.01/(0.2·√(1/52)) = 0.287674, and 0.2·√1.287674 = 0.226952."""
    cost, volatility = torch.tensor([0.005] * 2), torch.tensor([0.2] * 2)
    short, long = leland.stretch(cost, torch.tensor([-3.0, 3.0]), volatility, 1 / 52).tolist()
    assert 0.2 * short == pytest.approx(0.226952, abs=1e-6)
    assert short**2 + long**2 == pytest.approx(2, rel=1e-6)


def test_lelands_hedge_is_the_delta_at_his_volatility() -> None:
    made = world(steps=3)
    cost = made.observation.scene.cost_rate[:, 0, 0]
    for every in (1, 3):
        stretch = torch.sqrt(1 + math.sqrt(8 / math.pi) * cost / (0.6 * math.sqrt(every * 4 / 8760)))
        expected = call_delta(made, 0.6 * stretch)
        torch.testing.assert_close(closed(Leland(every), made), expected, rtol=0, atol=1e-10)
        assert (expected - closed(Delta(), made)).abs().max() > 1e-3


@pytest.mark.parametrize("elapsed", [0, 3])
def test_a_fixed_time_hedge_trades_at_every_nth_decision_and_at_the_first(elapsed: int) -> None:
    """Whatever the clock says when the book is opened."""
    made, traded = world(steps=elapsed, bars=96, decision_bars=4), []
    made.begin(made.state, made.episode.memories)
    for _ in range(12):
        before = made.observation.hedge
        made.advance(FixedTime(5.2).band(made.observation))
        traded.append(bool((made.observation.hedge != before).all()))
        assert traded[-1] or torch.equal(made.observation.hedge, before)
    assert traded == [place == 0 or (place + elapsed) % 5 == 0 for place in range(12)]


@pytest.mark.parametrize("every", [0.3, 1.0, 1.4])
def test_a_fixed_time_hedge_at_every_decision_is_the_delta_hedge(every: float) -> None:
    made = world(steps=3)
    assert torch.equal(closed(FixedTime(every), made), closed(Delta(), made))


@pytest.mark.parametrize("agent", [DeltaFiltered(), DeltaForecast(), MinimumVariance()])
def test_at_one_known_volatility_every_delta_is_the_same(agent: Agent) -> None:
    """Differences of the value over 2·MOVE are off by a sixth of MOVE² times its third derivative in ln S."""
    made = world(steps=5)
    torch.testing.assert_close(closed(agent, made), closed(Delta(), made), rtol=0, atol=1e-4)


def test_deltas_at_filtered_and_forecast_volatility_of_an_option_at_the_money() -> None:
    """There no smile comes between: at the opening of a call at the money."""
    made = world(support.CALIBRATED)
    (filter,), memory = made.observer.filters, made.observation.scene.views[0].memory
    filtered = filter.spot_variance(memory).sqrt()
    forecast = filter.term_variance(memory, torch.full((PATHS,), 48)).sqrt()
    torch.testing.assert_close(closed(DeltaFiltered(), made), call_delta(made, filtered), rtol=0, atol=1e-9)
    torch.testing.assert_close(closed(DeltaForecast(), made), call_delta(made, forecast), rtol=0, atol=1e-9)
    assert (filtered - forecast).abs().min() > 1e-6


def test_under_sabr_minimum_variance_is_bartletts_delta() -> None:
    made = world(SABR, steps=5)
    view, (terms,) = made.observation.scene.views[0], made.episode.portfolio.terms
    law, spot = made.market.settings, view.quote.spot
    alpha = made.state.volatility * spot ** (1 - law.beta)
    years = view.years(terms.bars_left[:, 0])
    rho, volvol = torch.tensor(law.rho).double(), torch.tensor(law.volvol).double()
    expected = hagan.bartlett_delta(spot, terms.strike[:, 0], years, alpha, rho, volvol, law.beta)
    torch.testing.assert_close(closed(MinimumVariance(), made), expected, rtol=0, atol=1e-4)
    assert (expected - closed(Delta(), made)).abs().max() > 0.005


def test_under_heston_minimum_variance_is_that_of_the_exact_price() -> None:
    """∂V/∂S + ρξ/S·∂V/∂v, differenced; the surface interpolates prices between a table's nodes."""
    made = world(HESTON, steps=2)
    view, (terms,) = made.observation.scene.views[0], made.episode.portfolio.terms
    law, spot = made.market.settings, view.quote.spot
    kappa, theta, xi, rho = torch.tensor([law.kappa, law.theta, law.xi, law.rho]).double()
    years, call = view.years(terms.bars_left[:, 0]), torch.tensor(True)
    variance = made.observer.surfaces[0].variance(view.quote.implied_volatility)

    def price(step: float) -> Tensor:
        at = (spot * math.exp(step), terms.strike[:, 0], years, variance + rho * xi * step)
        return heston.price(*at, kappa, theta, xi, rho, call)

    step = 1e-3
    expected = (price(step) - price(-step)) / (2 * spot * math.sinh(step))
    found = closed(MinimumVariance(), made)
    away = (expected - closed(Delta(), made)).abs()
    assert (found - expected).abs().max() < 1e-3
    assert (found - expected).abs().mean() < away.mean() / 50


def test_a_calibrated_surface_moves_as_its_noise_does() -> None:
    """Correlation × volatility of volatility over the spot's, per log return."""
    made = world(support.CALIBRATED, steps=1)
    (filter,), view, law = made.observer.filters, made.observation.scene.views[0], made.observer.calibrations[0].surface
    after = moved(view, -0.02)
    slope = law.return_correlation * law.volatility / filter.spot_variance(view.memory).sqrt()
    ratio = after.quote.implied_volatility / view.quote.implied_volatility
    torch.testing.assert_close(ratio, torch.exp(-0.02 * slope))
    torch.testing.assert_close(after.quote.spot, view.quote.spot * math.exp(-0.02))
    assert law.return_correlation != 0


def test_minimum_variance_leaves_less_variance_than_delta_where_volatility_follows_the_spot() -> None:
    """By four standard errors of the paired squares, without costs."""
    strong = {"kind": "sabr", "settings": {"volatility": 0.5, "volvol": 2.0, "rho": -0.8}}
    made = support.task(strong, hedges=[FREE], bars=480, decision_bars=8).world(
        2000, 2, generators(71, 1)[0], torch.float64
    )
    made.reset(staggered=False)
    loss = cohort.run(iter([made]), [MinimumVariance(), Delta()]).loss
    squares = (loss - loss.mean(0)).square()
    difference = squares[:, 1] - squares[:, 0]
    assert float(difference.mean()) > 4 * float(difference.std()) / 2000**0.5
