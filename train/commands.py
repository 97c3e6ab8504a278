"""The commands `train`, `evaluate` and `models`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from agents import card as cards
from agents.card import Model
from envs import simulated
from envs.calibration import Calibration, read_toml, validated
from envs.history import load_bars, load_funding
from envs.types import BadInput
from train import evaluate as judging
from train import history, pipeline, report
from train.evaluate import Judgement
from train.pipeline import Recipe

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, for machines.")]
console = Console(stderr=True)


def train(
    out: Annotated[Path, typer.Argument(help="Folder for the model: weights and card.")],
    recipe: Annotated[Path | None, typer.Option(help="TOML of settings; what it leaves out has defaults.")] = None,
    calibration: Annotated[Path, typer.Option(help="TOML of a calibrated market.")] = simulated.SHIPPED_CALIBRATION,
    seed: Annotated[int, typer.Option(min=0, help="One seed gives one policy.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Decisions to learn from, instead of the recipe's.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; default: PyTorch's choice.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
) -> None:
    """Tune the classical hedges, then learn a policy on the simulated market.

    Example: rehedge train runs/mine --steps 20000000 --seed 1
    """
    if threads is not None:
        torch.set_num_threads(threads)
    settings = validated(Recipe, read_toml(recipe), str(recipe)) if recipe else Recipe()
    if steps is not None:
        settings = settings.model_copy(update={"learning": settings.learning.model_copy(update={"steps": steps})})
    market, where = Calibration.load(calibration), chosen(device)
    with bars(console) as progress:
        model = pipeline.trained(out, market, settings, seed, where, progress)
    console.print(f"{model.folder}: trained on {model.card.training.steps:,} decisions; next: rehedge evaluate {out}")


def evaluate(
    model: Annotated[Path, typer.Argument(help="Folder of a trained model.")],
    paths: Annotated[int, typer.Option(min=1000, help="Simulated paths.")] = 100_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the paths; not the one it was trained or tuned with.")] = 2026,
    data: Annotated[str, typer.Option(help="Bars of the later history: btc, eth, or a CSV or Parquet file.")] = "btc",
    funding: Annotated[str, typer.Option(help='Its funding: "btc", or a file with time and funding_mean.')] = "btc",
    html: Annotated[Path | None, typer.Option("--report", help="Write an HTML report here.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Write the verdict into the model's card.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; default: PyTorch's choice.")] = None,
    as_json: AsJson = False,
) -> None:
    """Judge a model against every classical hedge, on fresh simulated paths and on history after its calibration
    window.

    Example: rehedge evaluate models/short_call --json
    """
    if threads is not None:
        torch.set_num_threads(threads)
    loaded = cards.load(model)
    if seed in (loaded.card.training.seed, loaded.card.opponents.seed):
        raise BadInput(f"--seed {seed} drew the paths that {model} was trained or tuned on; choose another")
    with bars(console) as progress:
        judgements = judged(loaded, paths, seed, (data, funding), progress)
    if html is not None:
        report.write(html, loaded, judgements)
    verdict = {**judgements[0].json(), "history": judgements[1].json()}
    if record:
        cards.record(model, verdict)
    if as_json:
        print(json.dumps({"model": str(model), **verdict}))
    else:
        for judgement in judgements:
            show(judgement, Console())


def models(
    model: Annotated[Path | None, typer.Argument(help="Folder of one model, to show its card.")] = None,
    folder: Annotated[Path, typer.Option(help="Where models lie.")] = Path("models"),
    as_json: AsJson = False,
) -> None:
    """List the trained models, or show one; weights and features are verified.

    Example: rehedge models models/short_call
    """
    found = [model] if model is not None else sorted(path.parent for path in folder.glob(f"*/{cards.CARD}"))
    loaded = [cards.load(path) for path in found]
    if as_json:
        print(json.dumps([json.loads(one.card.model_dump_json()) for one in loaded]))
        return
    table = Table("model", "book", "market until", "measure", "decisions", "weights")
    for one in loaded:
        table.add_row(*_card_row(one))
    Console().print(table)
    if model is not None:
        Console().print("\n".join(f"- {limit}" for limit in loaded[0].card.limits))


def judged(model: Model, paths: int, seed: int, record: tuple[str, str], progress: Progress) -> list[Judgement]:
    """On simulated paths, then on the history after the calibration window; `record` names its bars and funding."""
    data, funding = record
    task = progress.add_task("simulated paths", total=paths, note="")
    first = judging.on_simulated(model, paths, seed, lambda done: progress.advance(task, done))
    task = progress.add_task("later history", total=None, note=data)
    bars = load_bars(data)
    later = history.after(model.card.calibration, bars, load_funding(funding))
    second = judging.on_history(model, later, seed)
    progress.update(task, total=1, completed=1)
    return [first, second]


def show(judgement: Judgement, console: Console) -> None:
    """The comparison as a table, and each paired difference as a sentence."""
    table = Table(title=f"Loss, % of notional: {judgement.where}", title_justify="left", box=box.SIMPLE_HEAD, padding=0)
    columns = {"measure": "measure", "mean": "mean", "std": "std", "y": "Y", "cvar95": "ES95", "cvar99": "ES99"}
    columns |= {"cost": "cost", "funding": "funding"}
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


def _card_row(model: Model) -> tuple[str, ...]:
    card = model.card
    objective = f"{card.objective.weight:g} ES{100 * card.objective.level:g} + {1 - card.objective.weight:g} mean"
    until = card.calibration.source.last[:10]
    steps = f"{card.training.steps:,}"
    return (str(model.folder), card.book, until, objective, steps, card.weights_sha256[:12])
