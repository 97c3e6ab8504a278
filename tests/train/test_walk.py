"""A walk forward: nothing later than a fold's past reaches calibration or training, and what is judged follows it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from rich.progress import Progress

from agents import card as cards
from agents.card import Model
from envs.calibration import Calibration
from envs.history import Bars
from envs.task import DATA
from envs.types import BadInput
from tests.train import support
from tests.train.test_commands import command
from train import calibrate, history, pipeline, walk
from train.pipeline import Recipe
from train.walk import Walk

CPU = torch.device("cpu")
BTC = Calibration.load(DATA / "btc_2017_2022.toml")
TIMES = pd.date_range("2023-03-01", "2023-04-20", freq="h", tz="UTC", name="time")
FUNDING = pd.Series(0.1, index=pd.date_range("2023-03-01", "2023-04-20", tz="UTC"))
EDGES = tuple(pd.Timestamp(day, tz="UTC") for day in ("2023-03-15", "2023-03-25", "2023-04-10"))
PRICES = 20_000 * np.exp(0.005 * np.random.default_rng(3).standard_normal(len(TIMES)).cumsum())
COLUMNS = dict.fromkeys(("open", "high", "low", "close"), PRICES)
RECORD = Bars("btc", pd.DataFrame({**COLUMNS, "volume": 1.0, "splice": False, "venue": ""}, index=TIMES), 1.0)
RECIPE = Recipe(task=support.task(support.CALIBRATED))


@dataclass
class Seen:
    """What was given to whom, in the place of the real calibration and training."""

    pasts: list[tuple[pd.Timestamp, pd.Timestamp]] = field(default_factory=list)  # last bar, last day of funding
    seeds: list[int] = field(default_factory=list)

    def calibrate(self, bars: Bars, rates: Any, first: str, last: str, *others: Any) -> tuple[Calibration, None]:
        self.pasts.append((bars.frame.index[-1], rates.index[-1]))
        source = BTC.source.model_copy(update={"first": first, "last": last})
        return BTC.model_copy(update={"source": source}), None

    def train(self, out: Path, recipe: Recipe, seed: int, *others: Any) -> Model:
        if not out.exists():
            self.seeds.append(seed)
            support.save_model(out, recipe.task, seed=seed % 1000)
        return cards.load(out)


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    found = Seen()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(history, "WARM_UP", 50)
        patched.setattr(calibrate, "calibrate", found.calibrate)
        patched.setattr(pipeline, "trained", found.train)
        yield found


@pytest.fixture(scope="module")
def done(seen: Seen, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[walk.Fold]]:
    """A walk, and its folder."""
    out = tmp_path_factory.mktemp("walk")
    return out, walked(out)


def as_csv(bars: Bars, path: Path) -> str:
    """The name of a file that holds them."""
    table = bars.frame.drop(columns="venue").astype({"splice": int})
    table.to_csv(path, date_format="%Y-%m-%dT%H:%M:%SZ")
    return str(path)


def walked(out: Path, **other: Any) -> list[walk.Fold]:
    plan: dict[str, Any] = {"recipe": RECIPE, "seed": 5, "bars": (RECORD,), "funding_rates": (FUNDING,), "edges": EDGES}
    return walk.walked(out, Walk(**{**plan, **other}), CPU, Progress(disable=True))


def test_the_past_ends_before_what_is_judged(seen: Seen, done: tuple[Path, list[walk.Fold]]) -> None:
    """To the bar, and to the day of funding that has ended."""
    assert seen.pasts == [(edge, edge - pd.Timedelta(days=1)) for edge in EDGES[:-1]]
    assert len(set(seen.seeds)) == 2
    for fold, begin, end in zip(done[1], EDGES, EDGES[1:], strict=False):
        (source,) = [each.source for each in history.calibrated(fold.model.card.task)]
        assert pd.Timestamp(source.last) == begin
        assert (end - begin).days - len(fold.outcome.loss) in (0, 1)  # a window a day, the first soon after the edge
    assert done[1][1].quarters.unique().tolist() == [4 * 2023 + 1, 4 * 2023 + 2]


def test_a_finished_stage_is_not_done_again(seen: Seen, done: tuple[Path, list[walk.Fold]], tmp_path: Path) -> None:
    """A walk that lost its second fold's outcome ends where it ended before."""
    out, calls = shutil.copytree(done[0], tmp_path / "walk"), (len(seen.pasts), len(seen.seeds))
    (out / "fold_2" / walk.OUTCOME).unlink()
    again = walked(out)
    assert (len(seen.pasts), len(seen.seeds)) == calls
    for one, other in zip(done[1], again, strict=True):
        assert torch.equal(one.outcome.loss, other.outcome.loss)
        assert torch.equal(one.quarters, other.quarters)


def test_another_walk_in_the_same_folder_is_refused(seen: Seen, done: tuple[Path, list[walk.Fold]]) -> None:
    other, calls = RECORD.window("2023-03-02", "2023-04-20"), len(seen.seeds)
    for change, named in (({"seed": 6}, "seed"), ({"edges": EDGES[:2]}, "edges"), ({"bars": (other,)}, "bars")):
        with pytest.raises(BadInput, match=f"another walk was begun here \\({named} differ"):
            walked(done[0], **change)
    assert len(seen.seeds) == calls


def test_the_verdict_is_over_all_folds_and_blocks_reach_across_them(done: tuple[Path, list[walk.Fold]]) -> None:
    folds = done[1]
    found = walk.verdict(folds, 7)
    losses = torch.cat([fold.outcome.loss for fold in folds]).double()
    for name in ("delta", "PPO"):
        place = folds[0].agents.index(name)
        assert found.rows[name]["mean"] == pytest.approx(float(losses[:, place].mean()))
    assert found.blocks == 2  # the quarter that both folds share is one
    best = [fold.outcome.loss[:, fold.agents.index(fold.model.card.opponents.best)] for fold in folds]
    assert found.rows[walk.BEST]["mean"] == pytest.approx(float(torch.cat(best).double().mean()))
    assert found.versus["vs_best_band"]["measure"].diff == pytest.approx(found.against[walk.BEST].diff)
    assert "would replace it" in " ".join(found.sentences())
    assert len(walk.judgement(folds[0], 7).outcome.loss) == len(folds[0].outcome.loss)


def test_edges_are_equal_stretches_on_whole_days() -> None:
    found = walk.edges(pd.Timestamp("2023-01-01T05:00Z"), pd.Timestamp("2023-01-11T05:00Z"), 2)
    assert [str(each.date()) for each in found] == ["2023-01-01", "2023-01-06", "2023-01-11"]
    with pytest.raises(BadInput, match="choose fewer"):
        walk.edges(pd.Timestamp("2023-01-01T00Z"), pd.Timestamp("2023-01-02T00Z"), 2)


def test_only_markets_that_can_be_calibrated_anew_are_walked() -> None:
    """One that replays the record would show the policy what it is judged on."""
    replayed = support.task({"kind": "bootstrap", "settings": {"assets": ["btc_2017_2022"]}})
    for task, assets in ((support.task(), 0), (replayed, 1)):
        with pytest.raises(BadInput, match="a walk calibrates markets of kind garch"):
            walk.check(task, assets)
    with pytest.raises(BadInput, match="its market has 1 assets, --data names 2"):
        walk.check(RECIPE.task, 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--to", "2030-01-01"), "to end on record"),
        (("--from", "yesterday"), "'yesterday' is no time"),
        (("--task", "multi_asset"), "its market has 2 assets, --data names 1"),
        (("--folds", "3", "--from", "2023-03-10", "--to", "2023-03-11"), "choose fewer"),
    ],
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    record = as_csv(RECORD, tmp_path / "btc.csv")
    done = command("walk", str(tmp_path / "walk"), "--data", record, *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert words in done.stderr
    assert not (tmp_path / "walk").exists()
