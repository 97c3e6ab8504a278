"""The commands `train` and `evaluate`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from agents import card as cards
from agents.base import Agent, Diverged
from agents.card import Model
from envs.calibration import Calibration, read_toml, validated
from envs.task import Task
from envs.types import BadInput
from train import evaluate as judging
from train import history, pipeline, report, stress
from train import run as runs
from train.evaluate import Judgement
from train.history import Sources
from train.pipeline import Recipe

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, for machines.")]
console = Console(stderr=True)


def train(
    out: Annotated[Path, typer.Argument(help="Folder of the run, and in the end of the model; or one per seed in it.")],
    task: Annotated[str | None, typer.Option(help="A file of envs/tasks/ by name, or a TOML of yours.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="TOML of settings; what it leaves out has defaults.")] = None,
    calibration: Annotated[list[Path] | None, typer.Option(help="Calibrated market, once per asset.")] = None,
    seed: Annotated[
        list[int] | None, typer.Option(min=0, help="One seed gives one policy; several, once each, in OUT/seed_<n>.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Decisions to learn from, instead of the recipe's.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; default: PyTorch's choice.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: cuda where there is one.")] = "auto",
    every: Annotated[
        float, typer.Option("--checkpoint", min=0, help="Seconds between checkpoints; 0: every rollout.")
    ] = runs.EVERY,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the one run in OUT, by its own settings.")
    ] = False,
) -> None:
    """Tune the classical hedges, then learn a policy on the simulated market.

    Options given here replace the recipe's. A run that was stopped or killed goes on from its last checkpoint when the
    same command is given again, or with --resume alone, and on a CPU it reaches the same weights to the bit. OUT has
    run.json, metrics.jsonl, tensorboard/ (tensorboard --logdir OUT) and checkpoints/. Exit code 1: it diverged.

    Example: rehedge train runs/mine --task short_straddle --seed 1 --seed 2 --threads 1
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if resume:
        if recipe or task or calibration or steps or seed:
            raise BadInput("--resume takes the run's own settings; leave out the others, or leave out --resume")
        plan = [_stored(out)]
    else:
        settings, where = composed(recipe, task, calibration or [], steps), chosen(device)
        seeds = list(dict.fromkeys(seed or [0]))
        plan = [(out / f"seed_{s}" if len(seeds) > 1 else out, settings, s, where) for s in seeds]
    for folder, settings, one, where in plan:
        _train(folder, settings, one, where, every)


def _train(folder: Path, recipe: Recipe, seed: int, device: torch.device, every: float) -> None:
    """One run; exit code 1 where it diverges."""
    try:
        with bars(console) as progress:
            model = pipeline.trained(folder, recipe, seed, device, progress, every=every)
    except Diverged as error:
        console.print(f"rehedge: {folder}: {error}; its last sound checkpoint is kept", soft_wrap=True)
        raise typer.Exit(1) from None
    decisions = f"{model.card.training.steps:,} decisions"
    console.print(f"{folder}: trained on {decisions}; next: rehedge evaluate {folder}", soft_wrap=True)


def _stored(folder: Path) -> tuple[Path, Recipe, int, torch.device]:
    """The run there, as it was begun."""
    found = runs.stored(folder)
    torch.set_num_threads(found["threads"])
    recipe = validated(Recipe, found["recipe"], str(folder / runs.RUN))
    return folder, recipe, found["seed"], chosen(found["device"])


def evaluate(
    model: Annotated[Path, typer.Argument(help="Folder of a trained model.")],
    paths: Annotated[int, typer.Option(min=1000, help="Simulated paths.")] = 100_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the paths; not the one it was trained or tuned with.")] = 2026,
    data: Annotated[
        list[str] | None, typer.Option(help="Later history, once per asset: btc, eth, or a CSV or Parquet file.")
    ] = None,
    funding: Annotated[
        list[str] | None, typer.Option(help='Its funding: "btc", or a file with time and funding_mean.')
    ] = None,
    first: Annotated[str | None, typer.Option("--from", help="Judge history from there; default: all later.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Judge history up to there.")] = None,
    agent: Annotated[
        list[str] | None, typer.Option(help="Whom to judge it against: a classical hedge, or a model's folder.")
    ] = None,
    bootstrap: Annotated[bool, typer.Option("--bootstrap", help="Also on weeks drawn from the later history.")] = False,
    stressed: Annotated[bool, typer.Option("--stress", help="Also in every stress scenario.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Judge where it says nothing; recorded in the verdict.")
    ] = False,
    html: Annotated[Path | None, typer.Option("--report", help="Write an HTML report here.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Write the verdict into the model's card.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; default: PyTorch's choice.")] = None,
    as_json: AsJson = False,
) -> None:
    """Judge a model against every classical hedge: on fresh simulated paths and, where a market was calibrated, on what
    followed.

    Example: rehedge evaluate models/short_call --stress --json
    """
    if threads is not None:
        torch.set_num_threads(threads)
    loaded = cards.load(model)
    if seed in (loaded.card.training.seed, loaded.card.opponents.seed):
        raise BadInput(f"--seed {seed} drew the paths that {model} was trained or tuned on; choose another")
    sources = Sources(tuple(data or ()), tuple(funding or ()), first, last, force)
    agents, later = judging.roster(loaded, agent or (), force), history.later(loaded.card.task, sources)
    with bars(console) as progress:
        judgements = judged(loaded, paths, seed, later, progress, agents, bootstrap)
        scenarios = _stressed(loaded, agents, seed, progress) if stressed else []
    if html is not None:
        report.write(html, loaded, list(judgements.values()), scenarios=scenarios)
    verdict = _verdict(judgements, scenarios)
    if record:
        cards.record(model, verdict)
    if as_json:
        print(json.dumps({"model": str(model), **verdict}))
    else:
        _told(list(judgements.values()), scenarios)


def _verdict(judgements: dict[str, Judgement], scenarios: Sequence[stress.Stressed]) -> dict[str, object]:
    """What simulated paths say, and beside it what the others do, by where."""
    found = {name: one.json() for name, one in judgements.items()}
    stressed = {"stress": {one.name: one.json() for one in scenarios}} if scenarios else {}
    return {**found.pop("simulated"), **found, **stressed}


def _told(judgements: Sequence[Judgement], scenarios: Sequence[stress.Stressed]) -> None:
    for judgement in judgements:
        show(judgement, Console())
    if scenarios:
        Console().print(stress.table(scenarios))


def judged(
    model: Model,
    paths: int,
    seed: int,
    record: history.Record | None,
    progress: Progress,
    agents: Sequence[Agent] = (),
    bootstrap: bool = False,
) -> dict[str, Judgement]:
    """On simulated paths, then on history, and where asked for on weeks drawn from it; by where.

    Without `record` on simulated paths alone.
    """
    task = progress.add_task("simulated paths", total=paths, note="")
    found = {"simulated": judging.on_simulated(model, paths, seed, lambda done: progress.advance(task, done), agents)}
    if record is None:
        return found
    task = progress.add_task("later history", total=None, note=record.name)
    found["history"] = judging.on_history(model, record, seed, agents)
    progress.update(task, total=1, completed=1)
    if bootstrap:
        task = progress.add_task("resampled history", total=paths, note=record.name)
        found["bootstrap"] = judging.on_bootstrapped(
            model, record, paths, seed, lambda done: progress.advance(task, done), agents
        )
    return found


def _stressed(model: Model, agents: Sequence[Agent], seed: int, progress: Progress) -> list[stress.Stressed]:
    task = progress.add_task("stress", total=len(stress.every()), note="")
    return stress.on_scenarios(model, agents, seed, progress=lambda name: progress.update(task, advance=1, note=name))


def show(judgement: Judgement, console: Console) -> None:
    """The comparison as a table, and each paired difference as a sentence."""
    table = Table(title=f"Loss, % of notional: {judgement.where}", title_justify="left", box=box.SIMPLE_HEAD, padding=0)
    columns = {"measure": "measure", "mean": "mean", "std": "std", "y": "Y", "cvar95": "ES95", "cvar99": "ES99"}
    columns |= {"cost": "cost", "funding": "funding"}
    if any(row["liquidated"] > 0 for row in judgement.rows.values()):
        columns["liquidated"] = "liq."
    table.add_column("agent", no_wrap=True)
    for head in (*columns.values(), "turn."):
        table.add_column(f" {head}", justify="right", no_wrap=True)
    for name, row in judgement.rows.items():
        cells = [f"{100 * row[key]:.2f}" for key in columns]
        table.add_row(name, *cells, f"{row['turnover']:.2f}")
    console.print(table)
    for line in judgement.sentences():
        console.print(line)


def bars(console: Console) -> Progress:
    """A progress bar on `console`, with a text of the caller's."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    return Progress(*columns, TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=console)


def chosen(device: str) -> torch.device:
    """Raises BadInput for a device that is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise BadInput(f"--device {device}: not available here; use cpu or auto")
    return torch.device(device)


def composed(path: Path | None, task: str | None, calibrations: list[Path], steps: int | None) -> Recipe:
    """The recipe in the file at `path`, or the default one, with what else is given in its place."""
    found = validated(Recipe, read_toml(path), str(path)) if path else Recipe()
    if task is not None:
        found = found.model_copy(update={"task": Task.load(task)})
    if calibrations:
        markets = [Calibration.load(each) for each in calibrations]
        found = found.model_copy(update={"task": pipeline.on_markets(found.task, markets)})
    if steps is not None:
        found = found.model_copy(update={"learning": found.learning.model_copy(update={"steps": steps})})
    return found
