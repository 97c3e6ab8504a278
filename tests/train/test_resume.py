"""A run that ends at any moment goes on to the same weights, to the bit."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from rich.progress import Progress as Bars

from agents.card import WEIGHTS
from envs.task import Task
from envs.types import BadInput
from tests.train import support
from train import pipeline
from train import run as runs
from train.checkpoint import Checkpoints
from train.learn import Learnt, Progress, Settings, learn
from train.pipeline import Recipe

CPU = torch.device("cpu")
TINY = Settings(
    steps=1280,
    paths=16,
    hedgers=4,
    rollout=4,
    minibatches=2,
    epochs=1,
    warm_up=1,
    warm_up_paths=16,
    hidden=(8,),
    validation_paths=32,
    validations=3,
)
OPTION = [{"instrument": {"kind": "option", "bars": 24}}, {"instrument": {"kind": "perpetual"}}]
PLAIN = support.task(bars=12)


class Killed(Exception):
    pass


def carried(
    task: Task,
    folder: Path,
    settings: Settings = TINY,
    until: int = 10**9,
    tell: Callable[[], object] = lambda: None,
) -> Learnt:
    """Learning in `folder`, a checkpoint at each rollout that it tells of, ended after `until` decisions."""

    def report(now: Progress) -> None:
        if now.steps:
            tell()
        if now.steps >= until:
            raise Killed

    with runs.opened(folder, {"seed": 5}, every=0) as run:
        return learn(task, settings, 5, CPU, report, run=run)


def same(one: Learnt, other: Learnt) -> bool:
    weights = zip(one.network.parameters(), other.network.parameters(), strict=True)
    known = (one.history, one.trained_range, one.steps) == (other.history, other.trained_range, other.steps)
    return known and all(torch.equal(a, b) for a, b in weights)


def interrupted(task: Task, folder: Path, *stops: int, settings: Settings = TINY) -> Learnt:
    for stop in stops:
        with pytest.raises(Killed):
            carried(task, folder, settings, stop)
    return carried(task, folder, settings)


@pytest.mark.usefixtures("small_market")
@pytest.mark.parametrize(
    "task",
    [
        PLAIN,
        support.task(support.CALIBRATED, bars=12, objective={"kind": "mean_std"}, hedges=OPTION),
        support.task(bars=12, objective={"kind": "kolm_ritter"}),
    ],
    ids=["plain", "calibrated, options", "no telescope"],
)
def test_an_interrupted_run_reaches_the_same_weights(task: Task, tmp_path: Path) -> None:
    assert same(interrupted(task, tmp_path, 256, 768), learn(task, TINY, 5, CPU))


def test_a_killed_process_leaves_a_run_that_goes_on(tmp_path: Path) -> None:
    """After three of five rollouts, in the midst of whatever it does then."""
    reading, writing = os.pipe()
    child = _forked(lambda: carried(PLAIN, tmp_path, tell=lambda: os.write(writing, b".")))
    os.close(writing)
    for _ in range(3):
        assert os.read(reading, 1)
    os.close(reading)
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert Checkpoints(tmp_path / "checkpoints").files()
    assert same(carried(PLAIN, tmp_path), learn(PLAIN, TINY, 5, CPU))


@pytest.mark.slow
def test_ten_kills_at_random_moments_change_no_weight(tmp_path: Path) -> None:
    """Anywhere from tuning to the card; a run that was killed is killed again until it ends, then comes another."""
    learning = TINY.model_copy(update={"steps": 25600})
    drawn, recipe = random.Random(1), Recipe(task=support.task(), learning=learning, tuning_paths=4096)

    def trained(name: str) -> bytes:
        model = pipeline.trained(tmp_path / name, recipe, 5, CPU, Bars(disable=True), every=0)
        return (model.folder / WEIGHTS).read_bytes()

    trained("warm")  # the first takes longer
    began = time.perf_counter()
    whole = trained("whole")
    took, killed, ended = time.perf_counter() - began, 0, 0
    while killed < 10:
        child = _forked(partial(trained, f"run_{ended}"))
        timer = threading.Timer(drawn.uniform(0, took), os.kill, (child, signal.SIGKILL))
        timer.start()
        struck = os.waitpid(child, 0)[1] == signal.SIGKILL
        timer.cancel()
        killed, ended = killed + struck, ended + (not struck)
    assert all(trained(f"run_{place}") == whole for place in range(ended + 1))


def _forked(act: Callable[[], object]) -> int:
    """The id of a process that does it."""
    child = os.fork()
    if child == 0:
        try:
            act()
        finally:
            os._exit(0)
    return child


def test_metrics_have_each_rollout_once(tmp_path: Path) -> None:
    interrupted(PLAIN, tmp_path, 256, 768)
    lines = [json.loads(line) for line in (tmp_path / runs.METRICS).read_text().splitlines()]
    assert [line["steps"] for line in lines] == list(range(256, 1281, 256))
    assert {"policy/improvement", "policy/y", "policy/y_delta"} <= set().union(*lines)
    assert "train/approx_kl" in lines[-1]
    assert list((tmp_path / "tensorboard").iterdir())


def test_learning_ends_early_where_validations_bring_nothing_better(tmp_path: Path) -> None:
    """Long before its steps; the memory of it survives an interruption."""
    settings = TINY.model_copy(update={"steps": 10**6, "validations": 10**6, "patience": 2, "learning_rate": 1e-9})
    whole = carried(PLAIN, tmp_path / "whole", settings)
    found = [each.validation.improvement for each in whole.history if each.validation]
    assert found.index(min(found)) == len(found) - 3
    assert whole.steps < 20 * 256
    assert same(interrupted(PLAIN, tmp_path / "parts", 256, settings=settings), whole)


def test_a_corrupt_checkpoint_is_refused_in_one_line_and_nothing_is_lost(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        carried(PLAIN, tmp_path, until=768)
    newest = Checkpoints(tmp_path / "checkpoints").files()[-1]
    before = sorted(tmp_path.rglob("*"))
    sound = newest.read_bytes()
    for bad in (sound[:-1], b"", sound[:5000] + bytes([sound[5000] ^ 1]) + sound[5001:], sound[:-9] + bytes(9)):
        newest.write_bytes(bad)
        with pytest.raises(BadInput, match="the checkpoint is corrupt; remove it") as refused:
            carried(PLAIN, tmp_path)
        assert "\n" not in str(refused.value)
        assert sorted(tmp_path.rglob("*")) == before
    newest.unlink()
    assert same(carried(PLAIN, tmp_path), learn(PLAIN, TINY, 5, CPU))
