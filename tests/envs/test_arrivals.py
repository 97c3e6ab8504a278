"""Claims that come in while the book lives: how many, on what terms, and that opening them moves no wealth."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from agents.classical.no_hedge import NoHedge
from envs import arrivals, portfolio
from envs.contract import Contract
from envs.instrument import View
from envs.portfolio import Portfolio
from envs.pricing import black_scholes
from envs.types import added
from tests.envs.worlds import F64, band, constant_views, contract, tensor, world

LIFE, STEP, PATHS = 48, 8, 4000
MANY = 4.5  # standard errors


def rules(rate: float, opposite: float = 0.5, **changed: Any) -> Contract:
    """One call sold at the start, and more to come; decided every eight bars of two days."""
    claim = {"instrument": {"bars": 72}, "arrivals": {"rate": rate, "opposite": opposite}, **changed}
    return contract(claims=[claim], closing="mark")


def opened(made: Contract, spot: float = 100.0, paths: int = PATHS) -> tuple[Portfolio, tuple[View, ...]]:
    views = constant_views([(spot,)] * paths)
    left = torch.full((paths,), LIFE)
    return portfolio.opened(made, views, left, torch.Generator().manual_seed(1))[0], views


def later(
    made: Contract, book: Portfolio, spot: float, seed: int = 2
) -> tuple[Portfolio, Tensor, Portfolio, tuple[View, ...]]:
    """A decision on, at another spot: the book before and after what arrived, and the cash for it."""
    views = constant_views([(spot,)] * len(book.bars_left))
    before = portfolio.aged(made, book, STEP)
    after, cash = arrivals.joined(made, before, views, torch.Generator().manual_seed(seed))
    return before, cash, after, views


@pytest.mark.parametrize("rate", [0.01, 0.125, 1.0])
def test_as_many_arrive_as_poissons_law_says(rate: float) -> None:
    claim = rules(rate).claims[0]
    count = 200_000
    drawn = arrivals.drawn_counts(claim, STEP, torch.zeros(count, dtype=F64), torch.Generator().manual_seed(3))
    mean = rate * STEP
    for n in range(int(mean + 3 * math.sqrt(mean)) + 2):
        chance = math.exp(-mean) * mean**n / math.factorial(n)
        error = math.sqrt(chance * (1 - chance) / count)
        assert abs(float((drawn == n).double().mean()) - chance) < MANY * error + 1e-9
    assert int(drawn.max()) <= claim.arriving(STEP)


def test_only_the_claims_of_the_start_are_held_at_the_start() -> None:
    book, views = opened(rules(1.0), paths=3)
    alone, _ = opened(contract(claims=[{"instrument": {"bars": 72}}], closing="mark"), paths=3)
    one, other = (portfolio.exposures(rules(1.0), each, views)[0] for each in (book, alone))
    for name in ("value", "delta", "gamma", "vega", "next_bars", "last_bars"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=1e-12, atol=0)
    assert book.units[0].shape[1] > 1 + LIFE


def test_arrivals_are_opened_at_the_spot_for_their_whole_life_in_the_order_they_come() -> None:
    made = rules(0.25)
    book, _ = opened(made)
    before, _, after, _ = later(made, book, 130.0)
    (units,), (terms,), (arrived,) = after.units, after.terms, after.arrived
    rank = torch.arange(units.shape[1])
    new = (rank >= 1) & (rank < arrived[:, None])
    assert int(new.sum()) > PATHS
    assert torch.equal(new, (units != 0) & (rank >= 1))
    assert (terms.strike[new] == 130).all()
    assert (terms.bars_left[new] == 72).all()
    assert torch.equal(terms.bars_left[:, 0], before.terms[0].bars_left[:, 0])
    *_, last, _ = later(made, after, 90.0, seed=4)
    assert torch.equal(torch.where(new, last.terms[0].strike, 0), torch.where(new, terms.strike, 0))
    newest = (rank >= arrived[:, None]) & (rank < last.arrived[0][:, None])
    assert (last.terms[0].strike[newest] == 90).all()


def test_opening_them_changes_no_wealth() -> None:
    made = rules(0.25, instrument={"bars": [16, 96], "moneyness": [0.8, 1.3]}, units=[-2.0, 1.0])
    before, cash, after, views = later(made, opened(made)[0], 120.0)
    worth = [portfolio.exposures(made, each, views)[0].value for each in (before, after)]
    torch.testing.assert_close(worth[1] - worth[0] + cash, torch.zeros(PATHS, dtype=F64), rtol=0, atol=1e-7)
    assert float(cash.abs().max()) > 1.0


def test_claims_settled_in_coin_are_paid_for_in_coin() -> None:
    made = rules(0.25, instrument={"bars": 72, "settlement": "coin"})
    before, cash, after, views = later(made, opened(made)[0], 120.0)
    assert (cash == 0).all()
    one, other = (portfolio.exposures(made, each, views)[0].value for each in (before, after))
    torch.testing.assert_close(other, one, rtol=0, atol=1e-7)
    assert not torch.equal(before.coins[0], after.coins[0])


@pytest.mark.parametrize("opposite", [0.0, 0.5, 0.8, 1.0])
def test_a_share_of_them_is_on_the_other_side(opposite: float) -> None:
    made = rules(1.0, opposite, units=-2.0)
    _, _, after, _ = later(made, opened(made)[0], 100.0)
    units = after.units[0][:, 1:]
    held = units[units != 0]
    assert (held.abs() == held.abs()[0]).all()
    share, error = float((held > 0).double().mean()), math.sqrt(opposite * (1 - opposite) / len(held))
    assert abs(share - opposite) <= MANY * error


def test_a_book_at_its_end_takes_no_more_and_one_that_is_full_no_more_than_fit() -> None:
    made = rules(2.0)
    book, _ = opened(made, paths=200)
    for number in range(LIFE // STEP):
        *_, book, _ = later(made, book, 100.0, seed=number)
    assert (book.bars_left == 0).all()
    ended = book.arrived[0].clone()
    *_, more, _ = later(made, book, 100.0, seed=9)
    assert torch.equal(more.arrived[0], ended)
    full = opened(made, paths=200)[0]
    for number in range(20):
        *_, grown, _ = later(made, full, 100.0, seed=number)
        full = type(full)(**{**vars(grown), "bars_left": grown.bars_left + STEP})
    assert (full.arrived[0] == full.units[0].shape[1]).all()
    before, cash, after, _ = later(made, full, 100.0, seed=12)
    assert torch.equal(after.units[0], before.units[0])
    assert (cash == 0).all()


def test_an_unhedged_book_loses_what_its_claims_lost_since_they_came() -> None:
    """Σ over decisions of units held × the change of their Black–Scholes value; at the end they are taken at it."""
    made = rules(0.2)
    hedging, lost = world(5, 6, made), torch.zeros(6, dtype=F64)
    for _ in range(made.decisions):
        (units,), (terms,) = hedging.episode.portfolio.units, hedging.episode.portfolio.terms
        before = value(hedging.episode.quotes[0].spot, terms.strike, terms.bars_left)
        _, _, loss = hedging.advance(band(hedging, NoHedge()))
        after = value(hedging.episode.quotes[0].spot, terms.strike, terms.bars_left - STEP)
        lost -= (units * (after - before)).sum(-1)
    torch.testing.assert_close(loss[:, 0], lost / made.notional, rtol=0, atol=1e-12)
    assert float(added([u.abs().sum() for u in hedging.episode.portfolio.units])) == 0


def value(spot: Tensor, strike: Tensor, bars: Tensor) -> Tensor:
    return black_scholes.price(spot[:, None], strike, bars.clamp(min=0).double() / 8760, tensor(0.8))


def test_the_time_left_of_such_a_book_is_a_feature() -> None:
    hedging = world(6, 4, rules(0.2))
    place = hedging.observer.names.index("time_left")
    for made in range(3):
        left = (LIFE - made * STEP) / (30 * 24)
        assert hedging.observation.features[..., place].flatten().tolist() == pytest.approx([math.sqrt(left)] * 4)
        hedging.advance(band(hedging, NoHedge()))
    assert "time_left" not in world(6, 4, contract()).observer.names


def test_tables_without_the_new_settings_are_as_they_were() -> None:
    raw = contract().model_dump(mode="json")
    assert set(raw["claims"][0]) == {"instrument", "units", "count"}
    assert "roll_bars" not in raw["hedges"][0]
    assert "towards_neutral" not in raw["hedges"][0]
    again = Contract.model_validate(rules(0.5).model_dump(mode="json"))
    assert again == rules(0.5)
    assert float(tensor(again.claims[0].arrivals.rate)) == 0.5  # type: ignore[union-attr]
