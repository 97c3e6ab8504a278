"""The hedging world: an episode worked by hand, telescoping rewards, shared paths, and hedging that replicates."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor

from agents.delta import Delta
from agents.delta_gamma import DeltaGamma
from agents.fixed_band import FixedBand
from agents.no_hedge import NoHedge
from agents.zakamouline import Zakamouline
from envs import decision, register, rewards
from envs.book import Book
from envs.hedging import LOSS_FEATURES, HedgingWorld
from envs.markets import garch as simulation
from envs.objectives.mean_shortfall import MeanShortfall
from envs.pricing import black_scholes
from envs.seeding import generators
from envs.task import Task
from envs.types import BadInput
from tests.envs.worlds import BTC, F64, at, band, carried, contract, free, scripted, task, tensor, world

SHORT = contract()
PLAIN = {"instrument": {"kind": "perpetual"}, "lot_fraction": 0.0, "execution": {"impact": 0.0}}
MARGINED = {"mode": "isolated", "collateral": [{"amount": 0.5}]}


@pytest.fixture(autouse=True)
def _small_market(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about the start or the law of the shocks."""
    monkeypatch.setattr(simulation, "BURN_IN", 50)
    monkeypatch.setattr(simulation, "ATOMS", 1 << 12)


def call(spot: float, strike: float, bars: int, volatility: float = 0.8) -> float:
    return float(black_scholes.price(*(tensor(v) for v in (spot, strike, bars / 8760, volatility))))


def standard_error(sample: Tensor) -> Tensor:
    return sample.std(0) / math.sqrt(len(sample))


# Episodes by hand.

HAND = contract(
    bars=4, decision_bars=2, notional=1000.0,
    hedges=[{**PLAIN, "execution": {"impact": 0.0, "tiers": [{"maker": 0, "taker": 1e-3}]}}],
)  # fmt: skip
VENUE = {"half_spread": 1e-3, "funding_rate": 0.5}


def test_an_episode_by_hand() -> None:
    """Sold at 100, hedged with 5 then 8 units, funded four times on the mark, sold and paid at 110."""
    spots = [100.0, 101.0, 104.0, 103.0, 110.0]
    made = scripted(HAND, spots, mark=[1.001 * spot for spot in spots], **VENUE)
    premium = 10 * call(100, 100, 4)
    assert float(made.episode.book.claims) == pytest.approx(premium, rel=1e-9)
    assert float(made.episode.loss) == pytest.approx(0.0, abs=1e-12)

    _, ended, loss = made.advance(at(made, 0.5))
    price = 100.1 * 1.001
    cash = -5 * price * (1 + 1e-3) - 5 * 0.5 / 8760 * (100.1 + 101 * 1.001)
    liability = 10 * call(104, 100, 2)
    assert not ended.any()
    assert float(loss) == pytest.approx(-(premium + cash + 5 * 104 * 1.001 - liability) / 1000, rel=1e-9)

    _, ended, loss = made.advance(at(made, 0.8))
    price = 104 * 1.001 * 1.001
    cash -= 3 * price * (1 + 1e-3) + 8 * 0.5 / 8760 * (104 * 1.001 + 103 * 1.001)
    cash += 8 * 110 * 1.001 * 0.999 * (1 - 1e-3)
    book = made.episode.book
    assert ended.all()
    assert float(book.units) == 0.0
    assert float(book.cash) == pytest.approx(cash, rel=1e-9)
    assert float(book.claims) == pytest.approx(premium - 100, rel=1e-9)
    assert float(loss) == pytest.approx(-(premium + cash - 100) / 1000, rel=1e-9)
    assert float(book.trades) == 3.0


def test_an_option_that_ends_below_its_strike_pays_nothing() -> None:
    made = scripted(HAND, [100.0, 99.0, 98.0, 97.0, 96.0], **VENUE)
    premium = float(made.episode.book.claims)
    for _ in range(2):
        _, ended, loss = made.advance(at(made, 0.0))
    assert ended.all()
    assert float(loss) == pytest.approx(-premium / 1000, rel=1e-12)
    assert float(made.episode.book.fees) == 0.0


def test_hedges_taken_at_their_mark_cost_nothing_to_end() -> None:
    made = scripted(HAND.model_copy(update={"closing": "mark"}), [100.0] * 5, half_spread=1e-3)
    made.advance(at(made, 0.5))
    paid = float(made.episode.book.fees)
    made.advance(at(made, 0.5))
    assert float(made.episode.book.fees) == paid > 0
    assert float(made.episode.book.units) == 0.0


@pytest.mark.parametrize("rate", [0.5, -0.5])
def test_longs_pay_a_positive_funding_rate_and_shorts_receive_it(rate: float) -> None:
    """Ten units at 100 for two hours at 50 % a year, each decision."""
    for held in (1.0, -1.0):
        made = scripted(HAND, [100.0] * 5, funding_rate=rate)
        for decisions in (1, 2):
            made.advance(at(made, held))
            expected = held * 10 * 100 * rate * 2 / 8760 * decisions
            assert float(made.episode.book.funding) == pytest.approx(expected, rel=1e-12)


def test_a_dated_future_converges_to_the_index() -> None:
    """Bought at S·e^{bτ} and settled at the spot, with no fee: in a still market its holder loses just the basis."""
    future = {"instrument": {"kind": "future", "basis": 0.3}, "lot_fraction": 0.0, "execution": {"impact": 0.0}}
    rules = contract(bars=4, decision_bars=2, hedges=[future], claims=[{"instrument": {"kind": "spot"}, "units": 1.0}])
    made = scripted(rules, [100.0] * 5)
    for _ in range(2):
        _, _, loss = made.advance(at(made, -1.0))
    basis = math.expm1(0.3 * 4 / 8760)
    assert float(loss) == pytest.approx(-(basis - 5e-4 * (1 + basis)), rel=1e-9)
    assert float(made.episode.book.trades) == 1.0
    assert float(made.episode.book.units) == 0.0


def test_a_basis_trade_earns_the_funding_whatever_the_price_does() -> None:
    """Spot held, as much perpetual short at the index: 10 % a year on 1,000, four bars."""
    rules = contract(bars=4, decision_bars=2, notional=1000.0, claims=[{"instrument": {"kind": "spot"}, "units": 1.0}])
    spots = [100.0, 120.0, 90.0, 70.0, 140.0]
    made = scripted(rules, spots, funding_rate=0.1)
    for _ in range(2):
        _, _, loss = made.advance(band(made, Delta()))
    assert float(loss) == pytest.approx(-10 * 0.1 / 8760 * sum(spots[:4]) / 1000, rel=1e-9)


def test_profit_in_coin_is_counted_in_coin() -> None:
    """A call sold for cash with nothing held loses payoff less premium, at the last spot: per base coin."""
    rules = contract(bars=4, decision_bars=2, notional=1000.0, numeraire="coin")
    made = scripted(rules, [100.0, 101.0, 104.0, 103.0, 125.0])
    for _ in range(2):
        _, _, loss = made.advance(at(made, 0.0))
    assert float(loss) == pytest.approx(-(call(100, 100, 4) - 25) / 125, rel=1e-9)


def test_in_coin_a_coin_settled_option_is_replicated_by_its_premium_adjusted_delta() -> None:
    """The neutral hedge, worth included, leaves a tenth of the deviation in coin, as 48 decisions do in quote."""
    claims = [{"instrument": {"bars": 48, "settlement": "coin"}}]
    rules = contract(claims=claims, decision_bars=1, numeraire="coin")
    made = world(801, 2000, rules, hedgers=2)
    seen = made.observation
    spot, base = made.episode.quotes[0].spot, made.episode.portfolio.base[0]
    assert seen.worth is not None
    adjusted = -seen.scene.exposures[0].delta / base
    assert (seen.neutral[:, 0, 0] - adjusted - seen.worth[:, 0] / (spot * base)).abs().max() < 1e-12
    _, losses = carried(made, Delta(), NoHedge())
    assert float(losses[:, 0].std()) < 0.12 * float(losses[:, 1].std())


# Cohorts and their rewards.


def test_cohorts_end_exactly_after_their_decisions() -> None:
    hedging = world(802, 20, SHORT, hedgers=2)
    for made in range(SHORT.decisions):
        assert hedging.episode.bars_left.tolist() == [48 - 8 * made] * 20
        _, ended, _ = hedging.advance(band(hedging, Delta(), NoHedge()))
        assert ended.tolist() == [made == SHORT.decisions - 1] * 20
    assert (hedging.episode.book.units == 0).all()
    assert all((units == 0).all() for units in hedging.episode.portfolio.units)


TELESCOPING = [
    kind for kind in register.kinds("envs.objectives") if register.public_class("envs.objectives", kind).telescopes
]


@pytest.mark.parametrize("kind", TELESCOPING)
def test_rewards_telescope_to_the_objectives_transform_of_the_final_loss(kind: str) -> None:
    """φ(0) − φ(final) over the scale, path by path."""
    hedging = world(803, 50, SHORT, hedgers=3, objective={"kind": kind})
    total, loss = carried(hedging, Delta(), NoHedge(), Zakamouline(5.0))
    phi, dual = hedging.objective.transform, hedging.outlook.dual
    expected = (phi(torch.zeros_like(loss), dual) - phi(loss, dual)) / hedging.scale
    assert (total - expected).abs().max() < 1e-9
    assert float(loss.std()) > 1e-3


def test_the_scale_is_a_usual_premium() -> None:
    """0.4·σ√T per notional, within 1 % of the Black–Scholes price at the money."""
    assert world(804, 1, SHORT).scale == pytest.approx(call(1.0, 1.0, 48), rel=0.01)


def test_controlled_rewards_are_promises_kept_less_what_the_net_delta_earned() -> None:
    """Exactly: Σ = E φ promised at the start − φ(final) − Σ slope·(net delta × move), hedger by hedger."""
    hedging = world(805, 30, SHORT, hedgers=2, controlled=True)
    objective, dual = hedging.objective, hedging.outlook.dual
    start = objective.prospect(*promised(hedging), dual)
    total, earned = torch.zeros_like(start), torch.zeros_like(start)
    for _ in range(SHORT.decisions):
        seen, promise = hedging.observation.scene, promised(hedging)
        before, agents = hedging.episode, (Zakamouline(3.0), NoHedge())
        reward, _, loss = hedging.advance(band(hedging, *agents))
        move = hedging.episode.quotes[0].spot - before.quotes[0].spot
        order = decision.orders(band_at(before, seen, agents), seen, 0 * seen.hedge)
        net = seen.exposures[0].delta[:, None] + before.book.units[..., 0] + order[..., 0]
        earned += objective.slope(*promise, dual) * net * move[:, None] / SHORT.notional
        total += reward
    expected = (start - objective.transform(loss, dual) - earned) / hedging.scale
    assert (total - expected).abs().max() < 1e-9
    assert earned.abs().max() > 1e-4


def promised(hedging: HedgingWorld) -> rewards.Promise:
    return rewards.promise(hedging.outlook, hedging.episode.loss, hedging.observation.scene, hedging.scale)


def band_at(before: Any, seen: Any, agents: tuple[Any, Any]) -> decision.Band:
    """Zakamouline's band for the first hedger, nothing for the second, from the scene that they saw."""
    first = seen.of(0)
    centre = first.neutral(first.stretched_deltas(agents[0].risk_aversion))
    width = 1e-300 + 0 * centre  # trades are free here: no band
    low = torch.cat([centre - width, 0 * centre], 1)
    return decision.Band(low, low)


@pytest.mark.parametrize(("weight", "left"), [(0.5, 0.8), (0.0, 0.2)])
def test_control_keeps_what_one_hedger_earns_over_another_and_takes_variance_out(weight: float, left: float) -> None:
    """No hedge, a band and the exact delta, paired over n = 4,000 paths: mean differences within k = 4 standard errors.

    Where φ is linear little but the hedging error is left of an unhedged book's variance.
    """
    n, objective = 4000, {"weight": weight}
    agents = (NoHedge(), FixedBand(0.2), Delta())
    plain, losses = carried(world(806, n, SHORT, 3, objective=objective), *agents)
    controlled, same = carried(world(806, n, SHORT, 3, objective=objective, controlled=True), *agents)
    assert torch.equal(losses, same)
    removed = (plain - plain[:, 2:]) - (controlled - controlled[:, 2:])
    assert (removed[:, :2].mean(0).abs() < 4 * standard_error(removed[:, :2])).all()
    assert (removed[:, :2].std(0) > 0).all()
    assert float(controlled[:, 0].var() / plain[:, 0].var()) < left


def test_what_does_not_telescope_is_not_controlled() -> None:
    agents = (Delta(), NoHedge())
    one, other = (
        carried(world(807, 20, SHORT, 2, objective={"kind": "kolm_ritter"}, controlled=controlled), *agents)[0]
        for controlled in (False, True)
    )
    assert torch.equal(one, other)


# Groups, restarts and views.


def test_a_group_shares_its_path_and_other_paths_are_other() -> None:
    hedging = world(808, 6, SHORT, hedgers=3)
    _, loss = carried(hedging, Delta(), NoHedge(), Delta())
    assert torch.equal(loss[:, 0], loss[:, 2])
    assert (loss[:, 0] != loss[:, 1]).all()
    assert len(set(hedging.episode.quotes[0].spot.tolist())) == 6


def test_a_hedgers_loss_does_not_depend_on_the_company_it_keeps() -> None:
    rules = contract(hedges=[{**free(), "instrument": {"kind": "option", "bars": 96}}, PLAIN], margin=MARGINED)
    _, alone = carried(world(809, 8, rules), Delta())
    _, group = carried(world(809, 8, rules, hedgers=3), NoHedge(), Delta(), DeltaGamma())
    assert (alone[:, 0] - group[:, 1]).abs().max() < 1e-12


def test_restart_opens_fresh_claims_where_ended_and_only_there() -> None:
    hedging = world(810, 40, SHORT, hedgers=2)
    hedging.reset(staggered=True)
    _, ended, _ = hedging.advance(band(hedging, Delta(), NoHedge()))
    old = hedging.episode
    assert ended.any()
    assert not ended.all()
    hedging.restart(ended)
    new = hedging.episode
    spot = new.quotes[0].spot
    assert (new.bars_left[ended] == 48).all()
    assert torch.equal(new.portfolio.terms[0].strike[ended, 0], spot[ended])
    assert (new.portfolio.base[0] * spot)[ended].tolist() == pytest.approx([SHORT.notional] * int(ended.sum()))
    assert new.loss[ended].abs().max() < 1e-12
    for name in ("cash", "units", "fees", "funding", "traded", "trades"):
        assert (getattr(new.book, name)[ended] == 0).all(), name
    premium = new.portfolio.base[0] * spot * call(1.0, 1.0, 48)
    assert new.book.claims[ended][:, 0].tolist() == pytest.approx(premium[ended].tolist(), rel=1e-9)
    assert (hedging.observation.hedge[ended] == 0).all()
    for field in fields(Book):
        assert torch.equal(getattr(new.book, field.name)[~ended], getattr(old.book, field.name)[~ended]), field.name
    assert torch.equal(new.portfolio.terms[0].strike[~ended], old.portfolio.terms[0].strike[~ended])
    assert torch.equal(new.loss[~ended], old.loss[~ended])
    assert torch.equal(new.quotes[0].spot, old.quotes[0].spot)


BOOK = contract(
    claims=[{"instrument": {"bars": [8, 48], "moneyness": [0.9, 1.1]}, "units": [-1.0, 0.5], "count": 3}],
    hedges=[{**free(), "instrument": {"kind": "option", "bars": 96}}, PLAIN],
    margin={"mode": "cross", "collateral": [{"amount": 0.3}]},
)


@pytest.mark.parametrize("staggered", [False, True])
@pytest.mark.parametrize("rules", [SHORT, BOOK], ids=["call", "book"])
def test_a_step_is_an_advance_and_a_restart(rules: Any, staggered: bool) -> None:
    """Over three lives, seed by seed; the ends kept on the host are those of the paths."""
    hedging, twin = (world(811, 12, rules, hedgers=2) for _ in range(2))
    actions = (
        torch.rand(3 * rules.decisions, 24, 2 * len(rules.hedges), generator=generators(1, 1)[0], dtype=F64) * 2 - 1
    )
    for each in (hedging, twin):
        each.reset(staggered)
    for action in actions:
        left = hedging.episode.bars_left
        step = hedging.step(action)
        raw = action.view(12, 2, -1)
        reward, ended, loss = twin.advance(decision.read(raw, twin.observation))
        if ended.any():
            twin.restart(ended)
        assert ended.tolist() == (left == 8).tolist()
        assert torch.equal(step.reward, reward.flatten())
        assert torch.equal(step.loss, loss.flatten())
        assert step.terminated.tolist() == [bool(e) for e in ended for _ in range(2)]
        assert torch.equal(step.observation, twin.features())
        for now in (hedging, twin):
            counts = torch.bincount(now.episode.bars_left // 8, minlength=rules.decisions + 1)[1:]
            assert list(now._ending) == counts.tolist()


def test_a_book_whose_claims_end_early_is_settled_all_the_same() -> None:
    """Each reward is what the marks moved, so premium and payoffs of claims already gone stay in the account."""
    hedging = world(812, 100, BOOK, hedgers=2)
    total, loss = carried(hedging, DeltaGamma(), NoHedge())
    phi, dual = hedging.objective.transform, hedging.outlook.dual
    expected = (phi(torch.zeros_like(loss), dual) - phi(loss, dual)) / hedging.scale
    assert (total - expected).abs().max() < 1e-9
    book = hedging.episode.book
    assert (loss * BOOK.notional + book.claims + book.cash.sum(-1)).abs().max() < 1e-6


def test_staggered_starts_end_at_every_time() -> None:
    """Ages uniform over whole decisions: each of 6 within k = 4 binomial standard errors, n = 3,000 paths."""
    n = 3000
    hedging = world(813, n, SHORT)
    hedging.reset(staggered=True)
    left = hedging.episode.bars_left
    counts = torch.bincount(left // 8, minlength=7)[1:].double()
    assert (left % 8 == 0).all()
    assert torch.equal(hedging.episode.portfolio.terms[0].bars_left[:, 0], left)
    assert ((counts / n - 1 / 6).abs() < 4 * math.sqrt(1 / 6 * 5 / 6 / n)).all()


def test_the_critics_own_features_are_the_loss_its_excess_over_the_dual_and_the_odds_of_passing_it() -> None:
    hedging = world(814, 200, SHORT)
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


def test_lots_are_a_fraction_of_the_books_base_units() -> None:
    hedging = world(815, 30, contract(hedges=[{**free(), "lot_fraction": 0.05}]))
    hedging.advance(band(hedging, Delta()))
    held = hedging.episode.book.units[:, 0, 0] / (0.05 * hedging.episode.portfolio.base[0])
    assert held.tolist() == pytest.approx(held.round().tolist(), abs=1e-9)
    assert (held > 0).any()


@pytest.mark.parametrize(("paths", "hedgers"), [(0, 1), (1, 0), (-1, 2)])
def test_a_world_of_nothing_is_refused(paths: int, hedgers: int) -> None:
    with pytest.raises(BadInput, match="is empty; give at least 1 of both"):
        task(SHORT).world(paths, hedgers, torch.Generator())


def test_cohorts_come_in_blocks_that_make_up_the_whole() -> None:
    worlds = list(task(SHORT, BTC).cohort(10, 2, generators(816, 1)[0], 4))
    assert [made.paths for made in worlds] == [4, 4, 2]
    assert all((made.episode.bars_left == 48).all() for made in worlds)
    assert len({spot for made in worlds for spot in made.episode.quotes[0].spot.tolist()}) == 10


# Hedging that replicates.


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


def test_the_horizon_of_forecasts_covers_the_quoted_month_and_the_longest_option() -> None:
    assert len(task(SHORT).observer().filters[0].weights) == 721
    longer = contract(hedges=[{**free(), "instrument": {"kind": "option", "bars": 1440}}, free()])
    assert len(task(longer).observer().filters[0].weights) == 1441


def test_the_tasks_default_objective_is_the_blended_shortfall() -> None:
    assert Task.load("short_call").objective == MeanShortfall()
