"""The hedging world: an episode worked by hand, telescoping rewards, shared paths, and hedging that replicates."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from agents.base import Agent
from agents.delta import Delta
from agents.fixed_band import FixedBand
from agents.no_hedge import NoHedge
from agents.zakamouline import Zakamouline
from envs import decision, marks, simulated
from envs.book import Book
from envs.calibration import Calibration
from envs.contract import Contract
from envs.decision import Band
from envs.hedging import LEAST_SHARE, LOSS_FEATURES, HedgingWorld
from envs.markets import garch as simulation
from envs.objective import MeanShortfall
from envs.pricing import black_scholes
from envs.seeding import generators
from envs.types import BadInput, Quote
from envs.volatility.memory import Filter, Memory

CALIBRATION = Calibration.load(simulated.SHIPPED_CALIBRATION)
OBJECTIVE = MeanShortfall()
SHORT = Contract(option_bars=48, decision_bars=8)
FREE = {"fee_rate": 0.0, "impact": 0.0, "lot_fraction": 0.0}


@pytest.fixture(autouse=True)
def _small_market(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about the start or the law of the shocks."""
    monkeypatch.setattr(simulation, "BURN_IN", 50)
    monkeypatch.setattr(simulation, "ATOMS", 1 << 12)


def gbm() -> Calibration:
    """Constant variance, no cascades, no funding, no spread, options at their fair price."""
    variance = CALIBRATION.reference_volatility**2
    updates: dict[str, dict[str, Any]] = {
        "regimes": {
            "transition": ((1.0,),), "omega": (0.1 * variance,), "alpha": (0.0,), "leverage": (0.0,), "beta": (0.9,),
            "degrees_of_freedom": 1e4,
        },
        "shocks": {"base_rate": 0.0, "excitation": 0.0},
        "funding": {"mean_premium": -5e-4, "premium_std": 1e-12, "persistence": 0.0},
        "liquidity": {"calm_half_spread": 1e-12, "stressed_half_spread": 1e-12},
        "surface": {"risk_premium": 1.0},
    }  # fmt: skip
    sections = {name: getattr(CALIBRATION, name).model_copy(update=update) for name, update in updates.items()}
    return CALIBRATION.model_copy(update=sections)


def world(seed: int, paths: int, hedgers: int = 1, contract: Contract = SHORT, **settings: Any) -> HedgingWorld:
    (generator,) = generators(seed, 1)
    calibration = settings.pop("calibration", CALIBRATION)
    objective = settings.pop("objective", OBJECTIVE)
    return simulated.world(
        calibration, contract, objective, paths, hedgers, generator, settings.pop("dtype", torch.float64), **settings
    )


def band(hedging: HedgingWorld, *agents: Agent) -> Band:
    each = [agent.band(hedging.observation.of(j)) for j, agent in enumerate(agents)]
    return Band(torch.cat([b.lower for b in each], -1), torch.cat([b.upper for b in each], -1))


def carried(hedging: HedgingWorld, *agents: Agent) -> tuple[Tensor, Tensor]:
    """Summed rewards and final losses (P, G) of `agents` from the option's start to its end."""
    hedging.reset(staggered=False)
    total = torch.zeros_like(hedging.episode.loss)
    for _ in range(hedging.contract.decisions):
        reward, _, _ = hedging.advance(band(hedging, *agents))
        total = total + reward
    return total, hedging.episode.loss


# An episode by hand.


class Scripted:
    """A market whose prices are given; everything else of its quotes is constant."""

    def __init__(self, filter: Filter, spots: list[float], mark: float, funding_rate: float) -> None:
        self.filter, self.spots, self.mark, self.funding_rate = filter, spots, mark, funding_rate

    def initial(self, paths: int) -> tuple[int, Memory]:
        return 0, self.filter.initial(paths)

    def step(self, state: int, memory: Memory) -> tuple[int, Memory, Quote]:
        move = torch.tensor([self.spots[state + 1] / self.spots[state]], dtype=torch.float64).log()
        memory = self.filter.update(memory, move)
        return state + 1, memory, self.quote(state + 1, memory)

    def quote(self, state: int, memory: Memory) -> Quote:
        spot = self.spots[state]
        values = (spot, spot * self.mark, 1e-3, 1e6, self.funding_rate, 0.8)
        return Quote(*(torch.tensor([value], dtype=torch.float64) for value in values))


def scripted(spots: list[float], mark: float = 1.001, funding_rate: float = 0.5) -> HedgingWorld:
    """Two decisions of two bars each on a notional of 1,000, so 10 units at a strike of 100; no impact, no lots."""
    contract = Contract(option_bars=4, decision_bars=2, notional=1000.0, fee_rate=1e-3, impact=0.0, lot_fraction=0.0)
    observer = simulated.observer(CALIBRATION, contract, torch.float64, torch.device("cpu"))
    market = Scripted(observer.filter, spots, mark, funding_rate)
    made = HedgingWorld(market, observer, OBJECTIVE, 1, 1, generators(0, 1)[0])
    made.reset(staggered=False)
    return made


def at(ratio: float) -> Band:
    edge = torch.tensor([[ratio]], dtype=torch.float64)
    return Band(edge, edge)


def test_an_episode_by_hand() -> None:
    """Sold at 100, hedged with 5 then 8 units, funded four times on the mark, closed and paid at 110."""
    spots = [100.0, 101.0, 104.0, 103.0, 110.0]
    made = scripted(spots)
    tensor = [torch.tensor(v, dtype=torch.float64) for v in (100.0, 100.0, 4 / 8760, 0.8)]
    cash = 10 * float(black_scholes.call_price(*tensor))
    assert float(made.episode.book.cash) == pytest.approx(cash, rel=1e-6)
    assert float(made.episode.loss) == 0.0

    _, ended, loss = made.advance(at(0.5))
    price = 100.1 * 1.001
    cash -= 5 * price * (1 + 1e-3) + 5 * 0.5 / 8760 * (100.1 + 101 * 1.001)
    liability = 10 * float(
        black_scholes.call_price(*(torch.tensor(v, dtype=torch.float64) for v in (104.0, 100.0, 2 / 8760, 0.8)))
    )
    assert not ended.any()
    assert float(loss) == pytest.approx(-(cash + 5 * 104 * 1.001 - liability) / 1000, rel=1e-5)

    _, ended, loss = made.advance(at(0.8))
    price = 104 * 1.001 * 1.001
    cash -= 3 * price * (1 + 1e-3) + 8 * 0.5 / 8760 * (104 * 1.001 + 103 * 1.001)
    price = 110 * 1.001 * 0.999
    cash += 8 * price * (1 - 1e-3) - 10 * 10
    assert ended.all()
    assert float(made.episode.book.units) == 0.0
    assert float(made.episode.book.cash) == pytest.approx(cash, rel=1e-6)
    assert float(loss) == pytest.approx(-cash / 1000, rel=1e-5)
    assert float(made.episode.book.trades) == 3.0


def test_an_option_that_ends_below_its_strike_pays_nothing() -> None:
    made = scripted([100.0, 99.0, 98.0, 97.0, 96.0])
    premium = float(made.episode.book.cash)
    for _ in range(2):
        _, ended, loss = made.advance(at(0.0))
    assert ended.all()
    assert float(loss) == pytest.approx(-premium / 1000, rel=1e-12)
    assert float(made.episode.book.fees) == 0.0


def test_funding_is_paid_on_what_is_held_after_the_trade() -> None:
    """Nothing moves and trading is dear only once: the loss of a second decision without a trade is funding alone."""
    made = scripted([100.0] * 5, mark=1.0)
    made.advance(at(1.0))
    before = float(made.episode.book.funding)
    assert before == pytest.approx(10 * 100 * 0.5 * 2 / 8760, rel=1e-12)
    made.advance(at(1.0))
    assert float(made.episode.book.funding) == pytest.approx(2 * before, rel=1e-12)


# Cohorts and their rewards.


def test_cohorts_end_exactly_after_their_decisions() -> None:
    hedging = world(801, 20, 2)
    hedging.reset(staggered=False)
    for made in range(SHORT.decisions):
        assert hedging.episode.option.bars_left.tolist() == [SHORT.option_bars - 8 * made] * 20
        _, ended, _ = hedging.advance(band(hedging, Delta(), NoHedge()))
        assert ended.tolist() == [made == SHORT.decisions - 1] * 20
    assert (hedging.episode.book.units == 0).all()


def test_rewards_telescope_to_the_objectives_transform_of_the_final_loss() -> None:
    """−(φ(final) − φ(0)) over the scale, path by path."""
    hedging = world(802, 50, 3)
    total, loss = carried(hedging, Delta(), NoHedge(), Zakamouline(5.0))
    phi, dual = OBJECTIVE.transform, hedging.outlook.dual
    expected = -(phi(loss, dual) - phi(torch.zeros_like(loss), dual)) / hedging.scale
    assert (total - expected).abs().max() < 1e-9
    assert float(loss.std()) > 1e-3


def test_the_scale_is_a_usual_premium() -> None:
    """0.4·σ√T per notional, within 1 % of the Black-Scholes price at the money."""
    hedging = world(803, 1)
    inputs = (1.0, 1.0, SHORT.life, CALIBRATION.reference_volatility)
    price = black_scholes.call_price(*(torch.tensor(v, dtype=torch.float64) for v in inputs))
    assert hedging.scale == pytest.approx(float(price), rel=0.01)


@pytest.mark.parametrize(("weight", "left"), [(0.5, 0.8), (0.0, 0.2)])
def test_control_keeps_what_one_hedger_earns_over_another_and_takes_variance_out(weight: float, left: float) -> None:
    """No hedge, a band and the exact delta, paired over n = 4,000 paths: mean differences within k = 4 standard errors.

    Where φ is linear little but the hedging error is left of an unhedged book's variance.
    """
    n, objective = 4000, MeanShortfall(weight=weight)
    agents = (NoHedge(), FixedBand(0.2), Delta())
    plain, losses = carried(world(804, n, 3, objective=objective), *agents)
    controlled, same = carried(world(804, n, 3, objective=objective, controlled=True), *agents)
    assert torch.equal(losses, same)
    removed = (plain - plain[:, 2:]) - (controlled - controlled[:, 2:])
    assert (removed[:, :2].mean(0).abs() < 4 * removed[:, :2].std(0) / math.sqrt(n)).all()
    assert (removed[:, :2].std(0) > 0).all()
    assert float(controlled[:, 0].var() / plain[:, 0].var()) < left


@pytest.mark.parametrize("drift", [0.0, 0.1])
def test_control_changes_an_exact_delta_hedges_linear_rewards_by_what_was_promised(drift: float) -> None:
    """Nothing is held over the delta, so nothing earned is taken out; the potential leaves its start alone."""
    settings = {"contract": SHORT.model_copy(update={"lot_fraction": 0.0}), "objective": MeanShortfall(weight=0.0)}
    plain, _ = carried(world(805, 50, **settings), Delta())
    hedging = world(805, 50, controlled=True, **settings)
    hedging.outlook = replace(hedging.outlook, drift=drift)
    hedging.reset(staggered=False)
    seen = hedging.observation
    share = seen.dollar_gamma * seen.implied_volatility.square() * seen.time_to_expiry / hedging.scale + LEAST_SHARE
    total = torch.zeros_like(plain)
    for _ in range(SHORT.decisions):
        total += hedging.advance(band(hedging, Delta()))[0]
    assert (total - plain - (drift * share / hedging.scale)[:, None]).abs().max() < 1e-6


def test_control_takes_the_excess_over_the_delta_out() -> None:
    """Of linear rewards: the units held beyond it times the move, each decision."""
    settings = {"contract": SHORT.model_copy(update={"lot_fraction": 0.0}), "objective": MeanShortfall(weight=0.0)}
    hedging, twin = world(815, 50, controlled=True, **settings), world(815, 50, **settings)
    for each in (hedging, twin):
        each.reset(staggered=False)
    for _ in range(SHORT.decisions):
        option, before, delta = hedging.episode.option, hedging.episode.quote.spot, hedging.observation.delta
        controlled, _, _ = hedging.advance(band(hedging, NoHedge()))
        plain, _, _ = twin.advance(band(twin, NoHedge()))
        move = (hedging.episode.quote.spot - before) / SHORT.notional
        expected = plain - (-delta * option.units * move / hedging.scale)[:, None]
        assert (controlled - expected).abs().max() < 1e-6


# Groups, restarts and views.


def test_a_group_shares_its_path_and_other_paths_are_other() -> None:
    hedging = world(806, 6, 3)
    _, loss = carried(hedging, Delta(), NoHedge(), Delta())
    assert torch.equal(loss[:, 0], loss[:, 2])
    assert (loss[:, 0] != loss[:, 1]).all()
    assert len(set(hedging.episode.quote.spot.tolist())) == 6


def test_a_hedgers_loss_does_not_depend_on_the_company_it_keeps() -> None:
    _, alone = carried(world(807, 8), Delta())
    _, group = carried(world(807, 8, 3), NoHedge(), Delta(), Zakamouline(2.0))
    assert (alone[:, 0] - group[:, 1]).abs().max() < 1e-12


def test_restart_sells_fresh_options_where_ended_and_only_there() -> None:
    hedging = world(808, 40, 2)
    hedging.reset(staggered=True)
    _, ended, _ = hedging.advance(band(hedging, Delta(), NoHedge()))
    old = hedging.episode
    assert ended.any()
    assert not ended.all()
    hedging.restart(ended)
    new = hedging.episode
    assert (new.option.bars_left[ended] == SHORT.option_bars).all()
    assert torch.equal(new.option.strike[ended], new.quote.spot[ended])
    assert (new.option.units * new.quote.spot)[ended].tolist() == pytest.approx([SHORT.notional] * int(ended.sum()))
    assert (new.loss[ended] == 0).all()
    for name in ("units", "fees", "funding", "traded", "trades"):
        assert (getattr(new.book, name)[ended] == 0).all(), name
    inputs = (new.quote.spot, new.option.strike, new.option.bars_left.double() / 8760, new.quote.implied_volatility)
    premium = new.option.units * black_scholes.call_price(*inputs)
    assert new.book.cash[ended][:, 0].tolist() == pytest.approx(premium[ended].tolist(), rel=1e-6)
    assert torch.equal(hedging.observation.hedge[ended], torch.zeros(int(ended.sum()), 2, dtype=torch.float64))
    for field in fields(Book):
        assert torch.equal(getattr(new.book, field.name)[~ended], getattr(old.book, field.name)[~ended]), field.name
    for name in ("strike", "units", "bars_left"):
        assert torch.equal(getattr(new.option, name)[~ended], getattr(old.option, name)[~ended]), name
    assert torch.equal(new.loss[~ended], old.loss[~ended])
    assert new.quote is old.quote
    assert new.memory is old.memory


def test_restart_without_an_end_changes_nothing() -> None:
    hedging = world(809, 4)
    hedging.reset(staggered=False)
    episode = hedging.episode
    hedging.restart(torch.zeros(4, dtype=torch.bool))
    assert hedging.episode is episode


def test_staggered_starts_end_at_every_time() -> None:
    """Ages uniform over whole decisions: each of 6 within k = 4 binomial standard errors, n = 3,000 paths."""
    n = 3000
    hedging = world(810, n)
    hedging.reset(staggered=True)
    left = hedging.episode.option.bars_left
    counts = torch.bincount(left // 8, minlength=7)[1:].double()
    assert (left % 8 == 0).all()
    assert len(counts) == SHORT.decisions
    assert ((counts / n - 1 / 6).abs() < 4 * math.sqrt(1 / 6 * 5 / 6 / n)).all()


def test_step_flattens_books_and_reports_the_finished_episodes_loss() -> None:
    hedging, twin = world(811, 5, 2), world(811, 5, 2)
    hedging.reset(staggered=False)
    twin.reset(staggered=False)
    action = torch.zeros(10, 2, dtype=torch.float64)
    action[1::2, 1] = 1.0
    for _ in range(SHORT.decisions):
        step = hedging.step(action)
        reward, ended, loss = twin.advance(band_of(twin, action))
        assert torch.equal(step.reward, reward.flatten())
        assert torch.equal(step.loss, loss.flatten())
        assert step.terminated.tolist() == [bool(e) for e in ended for _ in range(2)]
    assert step.terminated.all()
    assert (step.loss != 0).all()
    assert (hedging.episode.loss == 0).all()  # the next episodes have begun
    assert torch.equal(step.observation, hedging.features())
    assert step.observation.shape == (10, *hedging.observation_space.shape)


def band_of(hedging: HedgingWorld, action: Tensor) -> Band:
    return decision.read(action.view(hedging.paths, hedging.group_size, 2), hedging.observation)


def test_the_critics_own_features_are_the_loss_its_excess_over_the_dual_and_the_odds_of_passing_it() -> None:
    hedging = world(812, 200)
    hedging.reset(staggered=False)
    for _ in range(3):
        hedging.advance(band(hedging, NoHedge()))
    loss, dual = hedging.episode.loss[:, 0], float(hedging.outlook.dual)
    features = hedging.features()
    assert features.shape == (200, hedging.actor_features + LOSS_FEATURES)
    assert torch.equal(features[:, : hedging.actor_features], hedging.observation.features[:, 0])
    so_far, above, odds = features[:, hedging.actor_features :].unbind(-1)
    assert (so_far - loss / hedging.scale).abs().max() < 1e-12
    assert (above - (loss - dual).clamp(min=0) / hedging.scale).abs().max() < 1e-6
    assert (above > 0).any()
    assert odds.abs().max() <= 1
    assert torch.equal(odds > 0, loss > dual)  # at a drift of nothing the chance is even at the dual


def test_lots_are_a_fraction_of_the_options_units() -> None:
    contract = SHORT.model_copy(update={"lot_fraction": 0.05})
    hedging = world(813, 30, contract=contract)
    hedging.reset(staggered=False)
    hedging.advance(band(hedging, Delta()))
    held = hedging.episode.book.units[:, 0] / (0.05 * hedging.episode.option.units)
    assert held.tolist() == pytest.approx(held.round().tolist(), abs=1e-9)
    assert (held > 0).any()


@pytest.mark.parametrize(("paths", "hedgers"), [(0, 1), (1, 0), (-1, 2)])
def test_a_world_of_nothing_is_refused(paths: int, hedgers: int) -> None:
    observer = simulated.observer(CALIBRATION, SHORT, torch.float32, torch.device("cpu"))
    with pytest.raises(BadInput, match="is empty; give at least 1 of both"):
        HedgingWorld(
            Scripted(observer.filter, [1.0], 1.0, 0.0), observer, OBJECTIVE, paths, hedgers, generators(0, 1)[0]
        )


def test_a_contract_on_other_bars_than_the_markets_is_refused() -> None:
    """Its option would age four hours, and pay funding for four, in each of the market's single ones."""
    with pytest.raises(BadInput):
        world(816, 1, contract=SHORT.model_copy(update={"bar_hours": 4.0}))


def test_cohorts_come_in_blocks_that_make_up_the_whole() -> None:
    worlds = list(simulated.cohort(CALIBRATION, SHORT, OBJECTIVE, 10, 2, generators(814, 1)[0], 4))
    assert [made.paths for made in worlds] == [4, 4, 2]
    assert all((made.episode.option.bars_left == SHORT.option_bars).all() for made in worlds)
    assert len({spot for made in worlds for spot in made.episode.quote.spot.tolist()}) == 10


# Hedging that replicates.


def replicated(decision_bars: int, paths: int) -> Tensor:
    """Losses (paths,) of the delta hedge where trading is free and volatility constant, over 240 hourly bars."""
    contract = Contract(option_bars=240, decision_bars=decision_bars, **FREE)
    hedging = world(820, paths, contract=contract, calibration=gbm())
    return carried(hedging, Delta())[1][:, 0]


def test_hedging_error_falls_with_the_root_of_the_number_of_decisions() -> None:
    """240, 60 and 15 decisions on the same n = 1,500 paths; √(π/4)·σ·vega/√N in the limit (Derman and Kamal 1999).

    Each standard deviation within k = 4 standard errors, √((kurtosis − 1)/(4n)) of itself, and 4 % for finite N.
    """
    n, volatility, life = 1500, CALIBRATION.reference_volatility, 240 / 8760
    vega = math.sqrt(life / (2 * math.pi)) * math.exp(-0.125 * volatility**2 * life)
    for decision_bars in (1, 4, 16):
        loss = replicated(decision_bars, n)
        std, centred = float(loss.std()), loss - loss.mean()
        kurtosis = float(centred.pow(4).mean()) / std**4
        limit = math.sqrt(math.pi / 4) * volatility * vega / math.sqrt(240 / decision_bars)
        assert abs(std / limit - 1) < 4 * math.sqrt((kurtosis - 1) / (4 * n)) + 0.04, decision_bars
        assert abs(float(loss.mean())) < 4 * std / math.sqrt(n)


def test_a_fairly_priced_option_has_no_mean_loss_even_unhedged() -> None:
    """k = 4 standard errors, n = 20,000; the hedge takes nine tenths of the deviation away."""
    n = 20_000
    contract = Contract(option_bars=48, decision_bars=2, **FREE)
    _, loss = carried(world(821, n, 2, contract=contract, calibration=gbm()), NoHedge(), Delta())
    assert (loss.mean(0).abs() < 4 * loss.std(0) / math.sqrt(n)).all()
    assert float(loss[:, 1].std()) < 0.3 * float(loss[:, 0].std())


def test_costs_are_what_separates_a_dear_world_from_a_free_one() -> None:
    """On the same paths and holdings: exactly the fees booked."""
    cheap = Contract(option_bars=48, decision_bars=8, **FREE)
    dear = cheap.model_copy(update={"fee_rate": 2e-3, "impact": 1e-3})
    free, paid = (world(822, 50, contract=c, calibration=gbm()) for c in (cheap, dear))
    _, one = carried(free, Delta())
    _, other = carried(paid, Delta())
    assert (other - one - paid.episode.book.fees / 1e6).abs().max() < 1e-9
    assert (other > one).all()


def test_the_horizon_of_forecasts_covers_the_quoted_month() -> None:
    assert marks.implied_horizon(CALIBRATION) == 720
    observer = simulated.observer(CALIBRATION, SHORT, torch.float64, torch.device("cpu"))
    assert len(observer.filter.weights) == 721
    longer = simulated.observer(CALIBRATION, Contract(option_bars=1000), torch.float64, torch.device("cpu"))
    assert len(longer.filter.weights) == 1001
