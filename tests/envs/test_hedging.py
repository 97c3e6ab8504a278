"""The hedging world: telescoping rewards, shared paths, and restarts."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest
import torch

from agents.classical.delta import Delta
from agents.classical.delta_gamma import DeltaGamma
from agents.classical.fixed_band import FixedBand
from agents.classical.no_hedge import NoHedge
from agents.classical.zakamouline import Zakamouline
from envs import decision, register, rewards
from envs.book import Book
from envs.hedging import LOSS_FEATURES, HedgingWorld
from envs.objectives.mean_shortfall import MeanShortfall
from envs.seeding import generators
from envs.task import Task
from envs.types import BadInput
from tests.envs.worlds import BTC, F64, PLAIN, band, call, carried, contract, free, standard_error, task, world

pytestmark = pytest.mark.usefixtures("small_market")

SHORT = contract()
MARGINED = {"mode": "isolated", "collateral": [{"amount": 0.5}]}


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


def test_a_usual_loss_is_the_unit_of_rewards_and_of_the_loss_that_is_seen() -> None:
    plain, own = world(804, 5, SHORT), world(804, 5, contract(usual_loss=2e-3))
    own.outlook = plain.outlook
    for _ in range(3):
        (one, *_), (other, *_) = (each.advance(band(each, NoHedge())) for each in (plain, own))
        torch.testing.assert_close(other * 2e-3, one * plain.scale)
        assert torch.equal(plain.episode.loss, own.episode.loss)
        assert own.observation.loss is not None
        torch.testing.assert_close(own.observation.loss * 2e-3, own.episode.loss)


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
    assert torch.equal(new.quotes[0].spot[~ended], old.quotes[0].spot[~ended])
    assert (spot[ended] == 1).all()  # this market begins anew with the episode


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


def test_the_horizon_of_forecasts_covers_the_quoted_month_and_the_longest_option() -> None:
    assert len(task(SHORT).observer().filters[0].weights) == 721
    longer = contract(hedges=[{**free(), "instrument": {"kind": "option", "bars": 1440}}, free()])
    assert len(task(longer).observer().filters[0].weights) == 1441


def test_the_tasks_default_objective_is_the_blended_shortfall() -> None:
    assert Task.load("short_call").objective == MeanShortfall()
