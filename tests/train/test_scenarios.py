"""Every file of `train/scenarios/` changes what it says, and leaves alone what it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from agents import card
from agents.card import Model
from agents.classical.delta import Delta
from agents.classical.no_hedge import NoHedge
from envs.calibration import Calibration
from envs.funding import CAP, INTERVAL
from envs.hedging import HedgingWorld
from envs.history import load_bars
from envs.markets import garch as simulation
from envs.register import kinds
from envs.seeding import generators
from envs.task import DATA
from envs.types import BadInput, Quote
from tests.train import support
from train import cohort, crash, scenario, stress
from train.crash import Crash
from train.scenario import Place, Scenario, Start

EVERY = stress.every()
CRASHES = [name for name, one in EVERY.items() if issubclass(one, Crash)]
PATHS, AT = 40, 24  # paths, and the bar at which it happens in a life of 48


class Calm(Scenario):
    """What the others are compared with."""

    name = "calm"
    about = "nothing happens"


@pytest.fixture(autouse=True)
def _short_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about how long the filters have run."""
    monkeypatch.setattr(crash, "WARM_UP", 50)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    margin = {"mode": "isolated", "collateral": [{"amount": 0.5}]}
    task = support.task(support.CALIBRATED, margin=margin)
    return card.load(support.save_model(tmp_path_factory.mktemp("model"), task))


@pytest.fixture(scope="module")
def start(model: Model) -> Start:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(simulation, "BURN_IN", 100)
        return stress.started(model, PATHS, generators(31, 1)[0])


def world(scenario: Scenario, start: Start) -> HedgingWorld:
    return scenario.world(start, 1, generators(32, 1)[0])


def quotes(scenario: Scenario, start: Start) -> list[Quote]:
    """Of every bar of the book's life, the opening's first."""
    made = world(scenario, start)
    state, memories = made.state, made.episode.memories
    found = [made.episode.quotes[0]]
    for _ in range(start.task.contract.bars):
        state, memories, (quote,) = made.market.step(state, memories)
        found.append(quote)
    return found


def column(found: list[Quote], field: str) -> Tensor:
    """(bars + 1, P)."""
    return torch.stack([getattr(quote, field) for quote in found])


@pytest.fixture(scope="module")
def calm(start: Start) -> list[Quote]:
    return quotes(Calm(), start)


def test_every_file_holds_one_scenario_with_a_name_of_its_own() -> None:
    assert len(EVERY) == len(kinds(stress.FOLDER)) == 14
    assert all(one.about for one in EVERY.values())


def test_nothing_happens_before_it_does(start: Start, calm: list[Quote]) -> None:
    """Those that leave the market's law alone draw the same noise until the event."""
    for name in ("depth gone", "funding at its cap", "exchange down", "oracle off", "auto-deleveraged"):
        found = quotes(EVERY[name](), start)
        assert torch.equal(column(found, "spot")[:AT], column(calm, "spot")[:AT]), name
        assert torch.equal(column(found, "funding_rate")[:AT], column(calm, "funding_rate")[:AT]), name


def test_depth_is_gone_for_an_hour_after_a_fall(start: Start, calm: list[Quote]) -> None:
    found = quotes(EVERY["depth gone"](), start)
    torch.testing.assert_close(found[AT].spot, 0.9 * calm[AT].spot)
    assert (found[AT].low <= found[AT].spot).all()
    assert (found[AT].depth < 2e-3 * calm[AT].depth).all()
    assert (found[AT].half_spread > 10 * calm[AT].half_spread).all()
    assert (found[AT + 1].depth > 0.01 * calm[AT + 1].depth).all()


def test_funding_stands_at_the_cap_on_either_side(start: Start) -> None:
    rate = column(quotes(EVERY["funding at its cap"](), start), "funding_rate")[AT:]
    assert torch.allclose(rate[:, ::2], torch.tensor(CAP / INTERVAL))
    assert torch.allclose(rate[:, 1::2], torch.tensor(-CAP / INTERVAL))


def test_orders_wait_while_the_exchange_is_down(start: Start) -> None:
    """Of the decision at the outage alone, and they fill at the price of a bar later."""
    made = world(EVERY["exchange down"](), start)
    agent = Delta()
    for _ in range(AT // made.contract.decision_bars):
        made.advance(agent.band(made.observation))
    now = made.episode
    assert (now.quotes[0].congestion == 1).all()
    order = torch.ones_like(now.book.units)
    book, waiting = made.broker.sent(now.book, made.observation.scene.traded, order)
    assert torch.equal(book.units, now.book.units)
    assert waiting is not None
    assert torch.equal(waiting, order)
    _, _, (later,) = made.market.step(made.state, now.memories)
    assert (later.spot / now.quotes[0].spot).log().mean() == pytest.approx(np.log(0.95), abs=0.01)
    assert (later.congestion == 0).all()


def test_the_oracle_is_off_for_an_hour_and_the_perpetual_is_not(start: Start, calm: list[Quote]) -> None:
    found = quotes(EVERY["oracle off"](), start)
    ratio = found[AT].spot / calm[AT].spot
    assert torch.allclose(ratio[::2], torch.tensor(1.03))
    assert torch.allclose(ratio[1::2], torch.tensor(1 / 1.03))
    torch.testing.assert_close(found[AT].mark, calm[AT].mark)
    premium = (found[AT + 1].mark / found[AT + 1].spot).log().abs()
    assert float(premium.max()) < 0.01


def test_winning_hedges_are_closed_after_the_move(start: Start) -> None:
    """Held at ±1, so that half of the paths gain either way: theirs are closed, the others stay."""
    for units in (1.0, -1.0):
        made = world(EVERY["auto-deleveraged"](), start)
        for _ in range(AT // made.contract.decision_bars - 1):
            made.advance(NoHedge().band(made.observation))
        band = NoHedge().band(made.observation)
        made.advance(type(band)(band.lower + units, band.upper + units))
        held = made.episode.book.units[:, 0, 0] != 0
        rose = made.state.side > 0
        assert torch.equal(held, ~rose if units > 0 else rose)


def regimes(scenario: Scenario, start: Start) -> Tensor:
    made = world(scenario, start)
    state, memories = made.state, made.episode.memories
    seen = [state.inner.regime]
    for _ in range(start.task.contract.bars):
        state, memories, _ = made.market.step(state, memories)
        seen.append(state.inner.regime)
    assert isinstance(state, Place)
    return torch.stack(seen)


@pytest.mark.parametrize("name", ["btc_2017_2022", "eth_2022_2024", "eth_2022_2024_btc_regimes"])
def test_the_storm_is_stationary(name: str) -> None:
    """Regimes 1 and 3 have variances that grow while they last, and by their floors both are stormy in the pair."""
    calibration = Calibration.load(DATA / f"{name}.toml")
    assert (scenario.regimes(calibration, stormy=True), scenario.regimes(calibration, stormy=False)) == ([2, 3], [0, 1])


def test_regimes_that_cannot_last_are_never_a_storm_by_themselves() -> None:
    """Two regimes, the turbulent one of growing variance: they storm together, and nothing is left to be calm."""
    base = Calibration.load(DATA / "btc_2017_2022.toml")
    pair = {name: getattr(base.regimes, name)[:2] for name in ("omega", "alpha", "leverage", "beta")}
    two = base.regimes.model_copy(update={**pair, "transition": ((0.9, 0.1), (0.5, 0.5))})
    found = base.model_copy(update={"regimes": two})
    assert scenario.regimes(found, stormy=True) == scenario.regimes(found, stormy=False) == [0, 1]


def test_the_storm_never_ends_and_the_crush_is_calm(start: Start) -> None:
    """The shipped calibration has two calm regimes, 0 and 1, and two stormy ones."""
    assert set(regimes(EVERY["endless storm"](), start).unique().tolist()) == {2, 3}
    assert set(regimes(EVERY["volatility crush"](), start).unique().tolist()) == {0, 1}
    assert set(regimes(Calm(), start).unique().tolist()) == {0, 1, 2, 3}


def test_implied_volatility_halves_after_the_first_decision(start: Start) -> None:
    implied = column(quotes(EVERY["volatility crush"](), start), "implied_volatility")
    bars = start.task.contract.decision_bars
    drop = (implied[bars] / implied[bars - 1]).median()
    assert float(drop) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("name", CRASHES)
def test_every_window_lives_through_the_crash(name: str, start: Start) -> None:
    """Its worst bar, of the record and not of a simulation: the low that fell furthest below the close before."""
    kind = EVERY[name]
    assert issubclass(kind, Crash)
    made = world(kind(), start)
    bars = load_bars(kind.asset).frame
    worst = pd.Timestamp(kind.worst, tz="UTC")
    place = bars.index.get_loc(worst)
    fall = float(np.log(bars["low"].iloc[place] / bars["close"].iloc[place - 1]))
    state, memories, lows = made.state, made.episode.memories, []
    before = made.episode.quotes[0].spot
    for _ in range(made.contract.bars):
        state, memories, (quote,) = made.market.step(state, memories)
        lows.append((quote.low / before).log())
        before = quote.spot
    found = torch.stack(lows).amin(0)
    assert len(found) >= 10
    assert (found <= fall + 1e-5).all()
    assert fall < -0.07


@pytest.mark.parametrize(("name", "moved_by"), [("2024-08-05", ["btc", "eth"]), ("2020-03-12", ["btc", "btc"])])
def test_an_asset_crashes_as_it_did_where_its_prices_ship(name: str, moved_by: list[str]) -> None:
    """ETH's record begins in 2022; before, it moves as BTC did. Both at the same times."""
    pair = [Calibration.load(DATA / f"{one}.toml") for one in ("btc_2017_2022", "eth_2022_2024")]
    kind = EVERY[name]()
    assert isinstance(kind, Crash)
    names, (one, other) = kind.record(pair, 48)
    assert names == moved_by
    assert one.frame.index.equals(other.frame.index)
    assert one.frame.index[0] < pd.Timestamp(kind.worst, tz="UTC") < one.frame.index[-1]
    assert np.array_equal(one.frame["close"], other.frame["close"]) is (moved_by[0] == moved_by[1])


def test_every_scenario_changes_what_the_hedges_lose(model: Model, start: Start, calm: list[Quote]) -> None:
    """No file is a no-op: the losses of a delta hedge are other than in the calm market."""
    agents = [Delta()]
    usual = cohort.run(iter([world(Calm(), start)]), agents).loss
    for name, kind in EVERY.items():
        loss = cohort.run(iter([world(kind(), start)]), agents).loss
        assert loss.isfinite().all(), name
        assert loss.shape != usual.shape or float((loss - usual).abs().mean()) > 1e-5, name


def test_a_market_that_was_calibrated_on_nothing_is_refused(tmp_path: Path) -> None:
    made = card.load(support.save_model(tmp_path, support.task()))
    with pytest.raises(BadInput, match="calibrated on nothing"):
        stress.on_scenarios(made, [Delta()], 1, 8)
