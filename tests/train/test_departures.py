"""What departures go with, and the policy drawn in states of any book."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from agents import card as cards
from agents.card import Model
from envs.observation import Observer
from envs.task import Task
from tests.train import support
from train import departures, policy_map, recorded
from train.policy_map import Case
from train.recorded import Recording

pytestmark = pytest.mark.usefixtures("small_market")


def test_a_feature_explains_what_it_makes_and_nothing_else() -> None:
    """Of a uniform number the ten tenths' means have all of the variance but a hundredth; of another, 9 parts in N."""
    made, other = np.random.default_rng(5).uniform(size=(2, 20_000))
    assert departures.explained_by(made, made) == pytest.approx(0.99, abs=1e-3)
    assert departures.explained_by(made, other) < 5 * 9 / len(made)
    assert departures.explained_by(np.ones(100), made[:100]) == 0.0


def test_tenths_are_even() -> None:
    assert np.bincount(departures.tenths(np.random.default_rng(5).normal(size=1000))).tolist() == [100] * 10


@pytest.mark.parametrize("name", ["short_call", "option_book", "multi_asset"])
def test_every_feature_has_words(name: str) -> None:
    observer: Observer = Task.load(name).observer()
    said = [departures.word(each) for each in observer.names if not each.startswith(departures.OWN)]
    assert len(set(said)) == len(said)
    assert not any("_" in each for each in said)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Recording]:
    task = support.task(support.CALIBRATED, margin={"mode": "isolated", "collateral": [{"amount": 0.5}]})
    model = cards.load(support.save_model(tmp_path_factory.mktemp("model"), task))
    return model, recorded.run(model, 64, 3)


def test_the_hedge_rests_within_its_band_and_is_told_so(watched: tuple[Model, Recording]) -> None:
    model, found = watched
    own = departures.of(found, model.card.features, 0)
    lot = 1e-4
    assert (own.away >= own.band[:, 0] - lot).all()
    assert (own.away <= own.band[:, 1] + lot).all()
    assert f"within {np.median(np.abs(own.away)):.3f} of neutral" in own.sentence
    assert not any("hedge less" in each for each in own.words)


def test_a_drawn_state_is_the_book_at_that_time(watched: tuple[Model, Recording]) -> None:
    """With the whole life left, at the first spot and volatility: the greeks that the world showed at its start."""
    model, found = watched
    mood = typical_of_start(found)
    seen = policy_map._observed(model, found, mood, Case(0, torch.zeros(1), torch.ones(1), found.contract.bars))
    first = found.frames[0].seen
    torch.testing.assert_close(seen.neutral, first.neutral[:1], atol=1e-5, rtol=0)
    torch.testing.assert_close(seen.half_width, first.half_width[:1], atol=1e-5, rtol=0)
    torch.testing.assert_close(seen.hedge, seen.centre)


def test_moneyness_time_and_volatility_move_the_state(watched: tuple[Model, Recording]) -> None:
    model, found = watched
    mood = typical_of_start(found)
    moved = torch.tensor([-0.1, 0.0, 0.1])
    delta = policy_map._observed(model, found, mood, Case(0, moved, torch.ones(3), 24)).neutral.flatten()
    assert (delta.diff() > 0).all()  # of a call sold
    wide = policy_map._observed(model, found, mood, Case(0, torch.zeros(2), torch.tensor([0.5, 2.0]), 24))
    assert wide.implied_volatility[1, 0, 0] == pytest.approx(4 * float(wide.implied_volatility[0, 0, 0]))
    assert wide.half_width[0, 0, 0] > wide.half_width[1, 0, 0]


def typical_of_start(found: Recording) -> Any:
    """The market of the first path at its start."""
    (view,) = found.frames[0].seen.scene.views
    memory = policy_map.mapped(lambda one: one[:1], view.memory)
    quote = policy_map.mapped(lambda one: one[:1], policy_map._relative(view.quote))
    return policy_map.Mood((quote,), (memory,))
