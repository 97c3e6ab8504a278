"""The command `walk`: whether a recipe would have worked, had it been followed all along."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pandas as pd
import torch
import typer
from rich.console import Console

from agents.base import Diverged
from envs import recording
from envs.history import Bars, load_bars
from envs.types import BadInput
from train import history, report, walk
from train.commands import AsJson, bars, chosen, composed, show
from train.evaluate import Judgement
from train.pipeline import Recipe
from train.walk import Fold, Walk

VERDICT, SEED = "verdict.json", 77
console = Console(stderr=True)


def command(
    out: Annotated[Path, typer.Argument(help="Folder of the walk, which goes on there if it was stopped.")],
    recipe: Annotated[
        Path | None, typer.Option(help="TOML of settings, as for train; its market is fitted anew.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="A file of envs/tasks/ by name, or a TOML of yours.")] = None,
    data: Annotated[
        list[str] | None, typer.Option(help="Prices, once per asset: btc, eth, or a file; default: the task's.")
    ] = None,
    funding: Annotated[
        list[str] | None, typer.Option(help='Of each asset: "btc", or a file with time and funding_mean.')
    ] = None,
    since: Annotated[str | None, typer.Option(help="First bar to learn from; default: the record's.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="Judge from there; default: half-way.")] = None,
    last: Annotated[
        str | None, typer.Option("--to", help="Judge books opened up to there; default: the last whole.")
    ] = None,
    folds: Annotated[int, typer.Option(min=1, help="Times that it is calibrated and trained anew.")] = 4,
    steps: Annotated[int | None, typer.Option(min=1, help="Decisions to learn from in a fold.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Each fold's own is drawn from it.")] = 0,
    html: Annotated[Path | None, typer.Option("--report", help="Write an HTML report here.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; default: PyTorch's choice.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: cuda where there is one.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Walk forward over real history: calibrate, tune and train on the past alone, judge on what follows, fold by fold.

    The same command goes on where it was stopped: a finished fold is not done again. OUT has a folder per fold with its
    task, its model and what became of every agent; verdict.json has what is printed with --json.

    Example: rehedge walk runs/walk --recipe configs/short_call.toml --folds 4 --from 2022-01-01
    """
    if threads is not None:
        torch.set_num_threads(threads)
    settings, where = composed(recipe, task, [], steps), chosen(device)
    asked = _walk(settings, data or (), funding or (), (since, first, last), folds, seed)
    try:
        with bars(console) as progress:
            done = walk.walked(out, asked, where, progress)
    except Diverged as error:
        console.print(f"rehedge: {out}: {error}; the same command goes on from the last sound fold", soft_wrap=True)
        raise typer.Exit(1) from None
    every = [walk.verdict(done, SEED), *(walk.judgement(fold, SEED) for fold in done)]
    told = json.dumps(_told(done, every))
    (out / VERDICT).write_text(told + "\n", encoding="utf-8")
    if html is not None:
        report.write(html, done[-1].model, every)
    if as_json:
        print(told)
        return
    for judgement in every:
        show(judgement, Console())


def _walk(
    recipe: Recipe,
    data: Sequence[str],
    funding: Sequence[str],
    times: tuple[str | None, str | None, str | None],
    folds: int,
    seed: int,
) -> Walk:
    """What is asked for, over the times that all assets have."""
    names = data or [each.source.asset for each in history.calibrated(recipe.task)]
    walk.check(recipe.task, len(names))
    common = recording.aligned([load_bars(name) for name in names])
    since, first, last = (None if time is None else history.utc(time) for time in times)
    if since is not None:
        common = [each.window(since, each.frame.index[-1]) for each in common]
    ends = _span(common[0], first, last, recipe)
    return Walk(recipe, seed, tuple(common), tuple(history.funding_of(names, funding)), walk.edges(*ends, folds))


def _span(
    record: Bars, first: pd.Timestamp | None, last: pd.Timestamp | None, recipe: Recipe
) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Ends of the time in which judged books are opened. Raises BadInput where no book opened at the last one ends."""
    index, contract = record.frame.index, recipe.task.contract
    whole = index[-1] - pd.Timedelta(hours=contract.bars * contract.bar_hours)
    begin = index[len(index) // 2] if first is None else first
    end = whole if last is None else last
    if end > whole or begin <= index[0]:
        raise BadInput(f"--from {begin} --to {end}: books must open after {index[0]} and by {whole} to end on record")
    return begin, end


def _told(folds: Sequence[Fold], every: Sequence[Judgement]) -> dict[str, object]:
    """Over all folds, and each fold by itself."""
    each = zip(folds, every[1:], strict=True)
    own = [
        {"until": fold.until.isoformat(), "model": str(fold.model.folder), "best": fold.model.card.opponents.best}
        | judgement.json()
        for fold, judgement in each
    ]
    return {**every[0].json(), "folds": own}
