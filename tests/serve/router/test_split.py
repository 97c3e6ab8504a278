"""The split against every other way to fill the order, and against an integer programme."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from serve.router.split import Offer, Run, Split, split

RUNS = st.lists(st.tuples(st.integers(-20, 60), st.integers(1, 4)), max_size=3)
FIXED = st.sampled_from([0.0, 0.0, 3.0, 11.0, 40.0])


@st.composite
def offers(draw: st.DrawFn, most: int) -> list[Offer]:
    """Costs in quarters, so that sums are exact."""
    venues = draw(st.lists(st.tuples(RUNS, FIXED), min_size=1, max_size=most))
    return [
        Offer(f"v{number}", tuple(Run(cost / 4, lots) for cost, lots in sorted(runs)), fixed)
        for number, (runs, fixed) in enumerate(venues)
    ]


def cost_of(offer: Offer, lots: int) -> float:
    """Of the offer's first lots."""
    each = [run.cost for run in offer.runs for _ in range(run.lots)]
    return sum(each[:lots]) + (offer.fixed if lots else 0.0)


def by_force(offers: list[Offer], lots: int) -> float:
    counts = product(*(range(min(lots, offer.lots) + 1) for offer in offers))
    return min(
        sum(map(cost_of, offers, each)) for each in counts if sum(each) == min(lots, sum(each.lots for each in offers))
    )


def by_programme(offers: list[Offer], lots: int) -> float:
    """Integer lots of each run, and a switch per offer that its runs need and that costs what is fixed."""
    runs = [(number, run) for number, offer in enumerate(offers) for run in offer.runs]
    costs = [run.cost for _, run in runs] + [offer.fixed for offer in offers]
    total = np.array([[1.0] * len(runs) + [0.0] * len(offers)])
    needs = np.zeros((len(runs), len(costs)))
    for row, (number, run) in enumerate(runs):
        needs[row, row], needs[row, len(runs) + number] = 1.0, -run.lots
    wanted = min(lots, sum(run.lots for _, run in runs))
    limits = [LinearConstraint(total, wanted, wanted), LinearConstraint(needs, -np.inf, 0.0)]
    bounds = Bounds(np.zeros(len(costs)), np.array([run.lots for _, run in runs] + [1.0] * len(offers)))
    found = milp(costs, constraints=limits, integrality=np.ones(len(costs)), bounds=bounds)
    assert found.success
    return float(found.fun)


def whole(offers: list[Offer], made: Split, lots: int) -> float:
    """Checks that the split is what it says, and gives its cost anew."""
    by_name = {offer.venue: offer for offer in offers}
    assert all(0 < count <= by_name[venue].lots for venue, count in made.lots.items())
    assert sum(made.lots.values()) == min(lots, sum(offer.lots for offer in offers))
    return sum(cost_of(by_name[venue], count) for venue, count in made.lots.items())


@settings(max_examples=150, deadline=None)
@given(offers=offers(most=3), lots=st.integers(1, 14))
def test_no_other_split_is_cheaper(offers: list[Offer], lots: int) -> None:
    made = split(offers, lots)
    assert whole(offers, made, lots) == made.cost == by_force(offers, lots)


@settings(max_examples=40, deadline=None)
@given(offers=offers(most=8), lots=st.integers(1, 60))
def test_an_integer_programme_finds_the_same_cost(offers: list[Offer], lots: int) -> None:
    made = split(offers, lots)
    assert whole(offers, made, lots) == made.cost
    if made.lots:
        assert made.cost == pytest.approx(by_programme(offers, lots), abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(offers=offers(most=8), lots=st.integers(1, 30))
def test_it_is_never_dearer_than_the_best_single_venue(offers: list[Offer], lots: int) -> None:
    singles = [cost_of(offer, lots) for offer in offers if offer.lots >= lots]
    assert not singles or split(offers, lots).cost <= min(singles)


def test_among_equals_fewer_venues_are_used() -> None:
    same = (Run(1.0, 10),)
    made = split([Offer("a", same), Offer("b", same), Offer("c", (Run(1.0, 3),))], 8)
    assert made == Split({"a": 8}, 8.0)


def test_gas_keeps_a_small_order_together_and_lets_a_large_one_apart() -> None:
    deep, cheap = Offer("deep", (Run(1.0, 50),)), Offer("gas", (Run(0.5, 50),), fixed=6.0)
    assert split([deep, cheap], 11).lots == {"deep": 11}
    assert split([deep, cheap], 13).lots == {"gas": 13}
    assert split([deep, cheap], 80).lots == {"gas": 50, "deep": 30}


def test_without_offers_nothing_is_filled() -> None:
    assert split([], 5) == Split({}, 0.0)
