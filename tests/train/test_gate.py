"""The gate: it refuses with a line for each reason, and what passes takes the place of what was there, at once."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch

from agents import card as cards
from agents.learned import Learned
from envs.types import BadInput
from tests.train import support
from tests.train.test_commands import ROOT, command
from tests.train.test_walk import RECORD, as_csv
from train import evaluate, gate, history, models, pipeline, stress
from train.history import Sources
from train.statistics import Interval
from train.stress import Stressed


def judgement(**against: tuple[float, float, float]) -> Any:
    """What the gate reads of one."""
    return SimpleNamespace(where="history", against={name: Interval(*one) for name, one in against.items()})


def scenario(name: str, ours: float, theirs: float) -> Stressed:
    return Stressed(name, "", 1, {"PPO": {"measure": ours}, "band": {"measure": theirs}})


def test_only_an_interval_wholly_below_zero_is_better() -> None:
    found = judgement(beaten=(-2e-4, -3e-4, -1e-4), unsure=(-2e-4, -5e-4, 1e-4), edge=(-1e-4, -2e-4, 0.0))
    lines = list(gate.not_better(found, ["beaten", "unsure", "edge"]))
    assert [line.split(" on ")[0] for line in lines] == [
        "not shown to be better than unsure",
        "not shown to be better than edge",
    ]
    assert "-2.0 bp, 95 % interval -5.0 to +1.0 bp" in lines[0]


def test_a_stress_may_be_worse_by_the_margin_and_no_more() -> None:
    found = [scenario("within", 0.015, 0.01), scenario("beyond", 0.0161, 0.01), scenario("better", 0.0, 0.01)]
    assert list(gate.worse(found, "band", 0.006)) == ["worse than band in beyond by 61 bp; the margin is 60 bp"]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A candidate, and the incumbent of the same name among the models."""
    task = support.task(support.CALIBRATED)
    candidate = support.save_model(tmp_path / "runs" / "mine", task, seed=1, evaluation={"recorded": True})
    return candidate, support.save_model(tmp_path / "models" / "mine", task, seed=2)


def promoted(candidate: Path, incumbent: Path) -> tuple[object, dict[str, Any], str]:
    done = command("models", "promote", str(candidate), "--folder", str(incumbent.parent), "--json")
    return done.returncode, json.loads(done.stdout), done.stderr


def test_what_passes_takes_the_place_and_the_old_is_kept(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate, incumbent = folders
    new, old = (cards.read(folder).weights_sha256 for folder in folders)
    monkeypatch.setattr(gate, "reasons", lambda *given: [])
    code, told, _ = promoted(candidate, incumbent)
    assert (code, told["promoted"], told["reasons"]) == (0, True, [])
    assert cards.load(incumbent).card.weights_sha256 == new
    assert cards.load(Path(told["kept"])).card.weights_sha256 == old
    assert cards.load(candidate).card.weights_sha256 == new
    assert {path.name for path in incumbent.parent.iterdir()} == {"mine", gate.KEPT}


def test_what_fails_changes_nothing(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    candidate, incumbent = folders
    old = cards.read(incumbent).weights_sha256
    monkeypatch.setattr(gate, "reasons", lambda *given: ["worse than it"])
    code, told, _ = promoted(candidate, incumbent)
    assert (code, told["promoted"], told["reasons"]) == (1, False, ["worse than it"])
    assert cards.load(incumbent).card.weights_sha256 == old
    assert [path.name for path in incumbent.parent.iterdir()] == ["mine"]


def test_an_incumbent_of_another_market_is_judged_by_its_own_filters_after_both_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "WARM_UP", 50)
    old = support.task(support.CALIBRATED)
    (fitted,) = history.calibrated(old)
    source = fitted.source.model_copy(update={"last": "2023-03-20T00:00:00+00:00"})
    newer = fitted.model_copy(update={"source": source, "reference_volatility": 0.5})
    candidate = cards.load(support.save_model(tmp_path / "mine", pipeline.on_markets(old, [newer])))
    rival = gate._rival(candidate, support.save_model(tmp_path / "theirs", old, seed=2))
    data = as_csv(RECORD, tmp_path / "btc.csv")
    record = history.later(rival.card.task, Sources((data,)), candidate.card.task)
    assert record is not None
    assert record.index[0] == pd.Timestamp("2023-03-20T01:00Z")
    found = gate._judged(candidate, rival, record, evaluate.roster(candidate, ["Leland"]))
    alone, _ = evaluate.carried(rival, record, [Learned(rival.network)])
    assert found.agents == (str(rival.folder), "Leland", "delta", "fixed band", "PPO untrained", "PPO")
    assert torch.equal(found.outcome.loss[:, :1], alone.loss)
    assert set(found.against) == set(found.agents[:-1])


def test_an_incumbent_of_another_book_is_refused(tmp_path: Path) -> None:
    candidate = cards.load(support.save_model(tmp_path / "mine", support.task(support.CALIBRATED)))
    other = support.save_model(tmp_path / "other", support.task(support.CALIBRATED, bars=24))
    with pytest.raises(BadInput, match="trained for another book"):
        gate._rival(candidate, other)


def test_the_first_of_its_name_replaces_nothing(folders: tuple[Path, Path], tmp_path: Path) -> None:
    place = tmp_path / "models" / "other"
    assert gate.swapped(folders[0], place) is None
    assert cards.load(place).card.weights_sha256 == cards.read(folders[0]).weights_sha256


@pytest.mark.slow
def test_a_policy_that_learned_nothing_is_refused(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights, judged in truth: worse than action 0 and than the tuned hedges."""
    monkeypatch.setattr(stress, "PATHS", 16)
    code, told, _ = promoted(*folders)
    assert (code, told["promoted"]) == (1, False)
    assert any("not shown to be better than PPO untrained" in line for line in told["reasons"])


def test_no_history_is_a_reason(tmp_path: Path) -> None:
    candidate = cards.load(support.save_model(tmp_path / "mine", support.task()))
    (line,) = gate.reasons(candidate, None, gate.Sources())
    assert "nothing walks forward" in line


def test_models_are_listed_shown_and_verified(folders: tuple[Path, Path]) -> None:
    candidate, incumbent = folders
    listed = command("models", "list", "--folder", str(candidate.parent))
    assert (listed.returncode, "2022-03-01" in listed.stdout) == (0, True)  # where the calibration window ends
    shown = command("models", "show", str(candidate))
    assert "Market: garch, calibrated on btc from 2017-07-01 to 2022-03-01." in shown.stdout
    (card,) = json.loads(command("models", "list", "--folder", str(candidate.parent), "--json").stdout)
    assert card == json.loads(command("models", "show", str(candidate), "--json").stdout)
    assert command("models", "verify", str(candidate)).returncode == 0
    assert models.fault(incumbent) == "the card is not complete: evaluation missing"
    weights = candidate / cards.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    spoilt = command("models", "verify", str(candidate))
    assert (spoilt.returncode, "SHA-256 is" in spoilt.stdout) == (1, True)


def test_a_card_is_reproduced_by_fresh_paths_and_a_false_one_is_not(tmp_path: Path) -> None:
    """What was recorded stands; a difference of 50 bp that was never there does not, nor one that is not stated."""
    folder = support.save_model(tmp_path / "mine", support.task(bars=24))
    recorded = evaluate.on_simulated(cards.load(folder), 2000, 5).json()
    cards.record(folder, recorded)
    assert models.contradicted(cards.load(folder), 2000) is None
    for change in ({"diff": 50e-4, "low": 49e-4, "high": 51e-4}, {"diff": None}):
        row = {**recorded["vs_delta"], **change}  # type: ignore[dict-item]
        cards.record(folder, {**recorded, "vs_delta": row})
        found = models.contradicted(cards.load(folder), 2000)
        assert found is not None
        assert "vs_delta is not reproduced" in found


@pytest.mark.slow
@pytest.mark.parametrize("folder", sorted(path.parent.name for path in (ROOT / "models").glob("*/card.json")))
def test_what_the_shipped_cards_say_is_reproduced(folder: str) -> None:
    model = cards.load(ROOT / "models" / folder)
    if not model.card.evaluation:
        pytest.skip("its card states no evaluation")
    assert models.contradicted(model, 4096) is None
