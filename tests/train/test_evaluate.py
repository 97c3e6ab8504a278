"""A judgement is the statistics of its outcome, under whatever measure the task is trained on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from agents import card
from agents.card import Model
from envs.types import BadInput
from tests.train import support
from tests.train.test_walk import RECORD, as_csv
from train import evaluate, history
from train.evaluate import Judgement
from train.history import Sources

PATHS, SEED = 400, 5
FIXED = {"no hedge", "delta", "delta, filtered volatility", "delta, forecast volatility", "minimum variance"}
TUNED = {"Zakamouline", "Whalley-Wilmott", "fixed band", "fixed time", "Leland"}
LEARNED = ["PPO untrained", "PPO"]


def model(folder: Path, objective: dict[str, object], **contract: object) -> Model:
    return card.load(support.save_model(folder, support.task(objective=objective, bars=24, **contract)))


@pytest.fixture(scope="module", params=["mean_shortfall", "entropic", "mean_std", "clipped_mean_std"])
def judged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Judgement]:
    made = model(tmp_path_factory.mktemp("model"), {"kind": request.param})
    return made, evaluate.on_simulated(made, PATHS, SEED)


def test_rows_are_the_statistics_of_the_outcome(judged: tuple[Model, Judgement]) -> None:
    made, found = judged
    outcome, objective = found.outcome, made.card.task.objective
    for place, name in enumerate(found.agents):
        losses, row = outcome.loss[:, place].double(), found.rows[name]
        assert row["measure"] == pytest.approx(float(objective.value(losses)), rel=1e-12)
        assert row["mean"] == pytest.approx(float(losses.mean()))
        assert row["cost"] == pytest.approx(row["fees"] + row["slippage"])
        for key in ("fees", "slippage", "funding", "turnover", "liquidated"):
            assert row[key] == pytest.approx(float(getattr(outcome, key)[place]))


def test_differences_and_their_intervals_are_paired(judged: tuple[Model, Judgement]) -> None:
    """A bootstrap interval of the measure's difference holds it, and is about two of its standard errors wide."""
    made, found = judged
    objective, column = made.card.task.objective, found.agents.index
    for key, other in (("vs_delta", "delta"), ("vs_best_band", "fixed band"), ("vs_action0", "PPO untrained")):
        losses = found.outcome.loss[:, [column("PPO"), column(other)]].double()
        ours, theirs = objective.value(losses.T)
        difference = found.versus[key]["measure"]
        assert difference.diff == pytest.approx(float(ours - theirs), abs=1e-12)
        assert difference.low <= difference.diff <= difference.high
        value = torch.stack([objective.transform(each, objective.dual(each)) for each in losses.T])
        error = float((value[0] - value[1]).std()) / PATHS**0.5
        assert 2 * error < difference.high - difference.low < 6 * error


def test_the_measure_may_be_a_shortfall_at_another_level(tmp_path: Path) -> None:
    made = model(tmp_path, {"kind": "mean_shortfall", "level": 0.8, "weight": 1.0})
    found = evaluate.on_simulated(made, PATHS, SEED)
    row = found.rows["delta"]
    losses = found.outcome.loss[:, found.agents.index("delta")].double()
    assert row["measure"] == pytest.approx(float(losses.topk(PATHS // 5).values.mean()))
    assert row["cvar95"] > row["measure"]
    assert found.versus["vs_delta"]["es95"].diff != found.versus["vs_delta"]["measure"].diff


def test_who_is_judged_depends_on_the_hedging_instruments(tmp_path: Path) -> None:
    linear = [agent.name for agent in evaluate.roster(model(tmp_path / "linear", {}))]
    assert set(linear[:-2]) == FIXED | TUNED
    curved = [agent.name for agent in evaluate.roster(model(tmp_path / "curved", {}, hedges=support.WITH_OPTION))]
    greeks = {"delta-gamma", "delta-vega", "greek band", "greek band + Zakamouline"}
    assert set(curved[:-2]) == FIXED | TUNED | greeks
    for names in (linear, curved):
        assert names[-2:] == LEARNED
        assert len(set(names)) == len(names)


def test_what_was_forced_and_the_modelled_surface_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In words, in JSON, and for an option book that real returns drive."""
    monkeypatch.setattr(history, "WARM_UP", 50)
    made = card.load(support.save_model(tmp_path / "mine", support.task(support.CALIBRATED, bars=24)))
    inside = Sources((as_csv(RECORD, tmp_path / "eth.csv"),), first="2023-04-01", force=True)
    record = history.later(made.card.task, inside)
    assert record is not None
    found = evaluate.on_history(made, record, SEED, evaluate.roster(made, ["Leland"]))
    (told,) = record.forced
    assert told == "the bars are of eth, the model was trained on a market of btc"
    assert found.json()["forced"] == [told]
    assert f"FORCED: {told}." in found.sentences()
    assert found.json()["notes"] == [evaluate.SURFACE]


def test_a_history_without_a_needed_column_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "btc.csv"
    path.write_text("time,open\n2023-01-01T00:00:00Z,1\n")
    with pytest.raises(BadInput, match="no column close") as raised:
        history.later(support.task(support.CALIBRATED), Sources((str(path),)))
    assert len(str(raised.value).splitlines()) == 1
