"""A model folder is loaded whole and unaltered, or refused in one line that says what, where, and how to mend it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from agents import card
from agents.learned import inputs
from envs.seeding import generators
from envs.types import BadInput
from tests.train import support


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return support.save_model(tmp_path / "model", support.task())


def _edited(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    path = folder / card.CARD
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))


def test_what_was_saved_is_loaded(folder: Path) -> None:
    one, other = card.load(folder), card.load(folder, torch.float64)
    features = torch.linspace(-2, 2, len(one.card.features))
    assert torch.equal(one.network(features), one.network(features))
    torch.testing.assert_close(other.network(features.double()), one.network(features).double(), rtol=1e-5, atol=1e-6)
    assert one.network(features).abs().max() > 0
    assert one.observer.sha256 == one.card.features_sha256


def test_the_hash_does_not_depend_on_the_precision(folder: Path) -> None:
    assert card.load(folder).observer.sha256 == card.load(folder, torch.float64).observer.sha256


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: _edited(f, lambda raw: raw.update(features_sha256="0" * 64)), "features_sha256 is 000000000000"),
        (lambda f: _edited(f, lambda raw: raw["task"]["contract"].update(risk_aversion=0.1)), "features_sha256"),
        (lambda f: _edited(f, lambda raw: raw["task"]["market"].update(kind="lunar")), "'lunar' is unknown"),
        (lambda f: _edited(f, lambda raw: raw["features"].reverse()), "features are not those"),
        (lambda f: _edited(f, lambda raw: raw.update(surprise=1)), "surprise"),
        (lambda f: _edited(f, lambda raw: raw.pop("task")), "task"),
        (lambda f: (f / card.CARD).write_text("{"), "not valid JSON"),
        (lambda f: (f / card.CARD).unlink(), "no such file"),
        (lambda f: (f / card.WEIGHTS).unlink(), "no such file"),
        (lambda f: (f / card.WEIGHTS).write_bytes((f / card.WEIGHTS).read_bytes()[:-7]), "SHA-256"),
    ],
)
def test_what_does_not_match_is_refused_in_one_line(folder: Path, spoil: Callable[[Path], object], words: str) -> None:
    spoil(folder)
    with pytest.raises(BadInput) as refused:
        card.load(folder)
    message = str(refused.value)
    assert words in message
    assert str(folder) in message
    assert "\n" not in message
    assert ";" in message  # what is wrong; how to mend it


def test_the_card_holds_the_whole_task(tmp_path: Path) -> None:
    """With a market, an instrument and an objective of another kind than the defaults."""
    of = support.task(objective={"kind": "entropic", "risk_aversion": 5.0}, hedges=support.WITH_OPTION)
    read = card.load(support.save_model(tmp_path / "model", of)).card.task
    assert read.objective == of.objective
    assert read.market == of.market
    assert [hedge.instrument for hedge in read.contract.hedges] == [hedge.instrument for hedge in of.contract.hedges]
    assert read.actions == 4


def test_a_policy_that_sees_its_loss_says_so_and_takes_the_loss_as_its_last_input(tmp_path: Path) -> None:
    of = support.task()
    saved = support.save_model(tmp_path / "model", of, sees_loss=True)
    model = card.load(saved)
    assert model.card.sees_loss
    assert not card.load(support.save_model(tmp_path / "blind", of)).card.sees_loss
    world = model.card.task.world(2, 3, *generators(1, 1))
    world.reset()
    features, loss = world.observation.features, world.episode.loss / world.scale
    expected = model.network(torch.cat([features, loss[..., None]], -1))
    assert torch.equal(model.network(inputs(model.network, world.observation)), expected)
    _edited(saved, lambda raw: raw.update(features=raw["features"][:-1]))
    with pytest.raises(BadInput, match="has shape"):
        card.load(saved)


def test_an_evaluation_is_recorded_and_nothing_else_changes(folder: Path) -> None:
    before = card.read(folder)
    card.record(folder, {"verdict": 1.0})
    after = card.read(folder)
    assert after.evaluation == {"verdict": 1.0}
    assert after.model_copy(update={"evaluation": {}}) == before
