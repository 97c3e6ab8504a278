"""A run's folder holds one run, for one process at a time; what does not belong there is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from rich.progress import Progress
from torch import nn

import rehedge
from agents.base import Diverged
from agents.card import CARD, WEIGHTS
from envs.types import BadInput
from tests.train import support
from train import pipeline
from train import run as runs
from train.checkpoint import Checkpoints, read, write
from train.learn import Settings, learn
from train.pipeline import Recipe
from train.watch import EXPLODED, MOST_KL, Watch

CPU = torch.device("cpu")
TINY = Settings(
    steps=512,
    paths=16,
    hedgers=4,
    rollout=4,
    minibatches=2,
    epochs=1,
    warm_up=0,
    hidden=(8,),
    validation_paths=16,
    validations=1,
)
RECIPE = Recipe(task=support.task(), learning=TINY, tuning_paths=4096)


def command(*arguments: str) -> object:
    """Its exit code."""
    with pytest.raises(SystemExit) as ended:
        rehedge.main(["train", *arguments])
    return ended.value.code


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    pipeline.trained(folder, RECIPE, 1, CPU, Progress(disable=True))
    return folder


def test_a_finished_run_is_returned_as_it_is(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.iterdir() if path.name != "lock"}
    assert {CARD, WEIGHTS, runs.RUN, runs.METRICS, runs.OPPONENTS, "tensorboard"} == {path.name for path in before}
    pipeline.trained(finished, RECIPE, 1, CPU, Progress(disable=True))
    assert command(str(finished), "--resume") == 0
    assert "trained on 512 decisions" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in finished.iterdir() if path.name != "lock"}


def test_another_run_does_not_get_into_a_folder(finished: Path) -> None:
    with pytest.raises(BadInput, match="holds a run with seed 1, not 2; give the same, or another folder"):
        pipeline.trained(finished, RECIPE, 2, CPU, Progress(disable=True))
    other = RECIPE.model_copy(update={"learning": TINY.model_copy(update={"epochs": 3})})
    with pytest.raises(BadInput, match=r"holds a run with recipe\.learning\.epochs 1, not 3"):
        pipeline.trained(finished, other, 1, CPU, Progress(disable=True))


def test_a_run_of_another_version_is_refused(tmp_path: Path) -> None:
    with runs.opened(tmp_path, {}) as run:
        run.checkpoints.save(1, {})
    found = runs.stored(tmp_path)
    found["versions"]["torch"] = "1.0"
    (tmp_path / runs.RUN).write_text(json.dumps(found))
    with pytest.raises(BadInput, match=r'holds a run with versions\.torch "1\.0", not'), runs.opened(tmp_path, {}):
        pass


def test_a_run_that_has_learned_nothing_gives_way(tmp_path: Path) -> None:
    """Its opponents too, which were tuned for another task."""
    with runs.opened(tmp_path, {"seed": 1}):
        (tmp_path / runs.OPPONENTS).write_text("tuned")
    with runs.opened(tmp_path, {"seed": 1}):
        assert (tmp_path / runs.OPPONENTS).is_file()
    with runs.opened(tmp_path, {"seed": 2}):
        assert not (tmp_path / runs.OPPONENTS).is_file()
    assert runs.stored(tmp_path)["seed"] == 2


def test_a_model_without_its_run_is_left_alone(tmp_path: Path) -> None:
    support.save_model(tmp_path, RECIPE.task)
    with pytest.raises(BadInput, match="holds a model without the run that made it; give another folder"):
        pipeline.trained(tmp_path, RECIPE, 1, CPU, Progress(disable=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == [CARD, WEIGHTS]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        runs.opened(tmp_path, {}),
        pytest.raises(BadInput, match="another process trains there"),
        runs.opened(tmp_path, {}),
    ):
        pass
    with runs.opened(tmp_path, {}):
        pass


def test_resume_takes_the_runs_own_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(str(tmp_path), "--resume") == 2
    assert "no such file; give the folder of a run, or leave out --resume" in capsys.readouterr().err
    assert command(str(tmp_path), "--resume", "--seed", "1") == 2
    assert "--resume takes the run's own settings" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_several_seeds_get_a_folder_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.commands.composed", lambda *given: RECIPE)
    assert command(str(tmp_path), "--seed", "1", "--seed", "2", "--threads", "1", "--device", "cpu") == 0
    one, two = ((tmp_path / f"seed_{seed}" / WEIGHTS).read_bytes() for seed in (1, 2))
    assert one != two


def test_learning_that_diverges_stops_and_keeps_its_last_sound_checkpoint(tmp_path: Path) -> None:
    wild = TINY.model_copy(update={"steps": 51200, "learning_rate": 3.0, "epochs": 8})
    with runs.opened(tmp_path, {}, every=0) as run, pytest.raises(Diverged, match=r"decisions|epochs") as stopped:
        learn(RECIPE.task, wild, 1, CPU, run=run)
    assert "\n" not in str(stopped.value)
    kept = Checkpoints(tmp_path / "checkpoints").latest()
    assert all(bool(tensor.isfinite().all()) for tensor in kept["policy"].values())


class Stub:
    """What the watch sees of a model."""

    def __init__(self, weight: float, **said: float) -> None:
        self.num_timesteps, self.policy, self.logger = 1000, nn.Linear(1, 1), self
        nn.init.constant_(self.policy.weight, weight)
        self.name_to_value = {f"train/{name}": value for name, value in said.items()}


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Stub(1.0, approx_kl=1.01 * MOST_KL), "after 0 decisions an update moved the policy by a KL of 1.01, above 1"),
        (Stub(1.0, value_loss=2.02 * EXPLODED), "the value loss is 2.02e[+]03, where it began at 2"),
        (Stub(float("inf")), "the policy's weights are not finite"),
    ],
)
def test_what_counts_as_divergence(model: Stub, said: str) -> None:
    watch = Watch()
    for sound in (Stub(1.0), Stub(1.0, approx_kl=0.9 * MOST_KL, value_loss=2.0), Stub(1.0, value_loss=EXPLODED)):
        watch.model = sound  # type: ignore[assignment]
        watch.on_rollout_start()
    watch.model = model  # type: ignore[assignment]
    with pytest.raises(Diverged, match=said):
        watch.on_rollout_start()


def test_a_checkpoint_gives_back_what_it_was_given(tmp_path: Path) -> None:
    """Layout in memory included: columns first, repeated rows, gaps."""
    base = torch.arange(24.0).view(2, 3, 4)
    tensors = [base.permute(2, 0, 1), base[:, :1].expand(2, 5, 4), base[..., ::2], base.sum(), torch.zeros(0), base > 3]
    tree = {"tensors": tensors, "plain": [1, 0.1, None, True, "a", {"b": [float("inf")]}], "words": {}}
    write(tmp_path / "x", tree)
    found = read(tmp_path / "x")
    assert found["plain"] == tree["plain"]
    for one, other in zip(found["tensors"], tensors, strict=True):
        assert torch.equal(one, other)
        assert (one.dtype, one.stride()) == (other.dtype, other.stride())


def test_the_newest_few_checkpoints_are_kept(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "all")
    for steps in (9, 10, 100, 1000):
        kept.save(steps, {"steps": steps})
    (tmp_path / "all" / "x.safetensors.part").write_bytes(b"half")
    assert [read(path)["steps"] for path in kept.files()] == [10, 100, 1000]
    assert kept.latest() == {"steps": 1000}
    kept.clear()
    assert kept.latest() is None
