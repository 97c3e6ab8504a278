"""The command `models`: what lies in `models/`, one of them in words, whether it is sound, and the gate."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue
from rich.console import Console
from rich.table import Table

from agents import card as cards
from agents.card import Card, Model
from envs.types import BadInput
from train import evaluate as judging
from train import gate, history
from train.commands import AsJson, bars
from train.history import Sources
from train.statistics import Interval

SEED = 7777  # of fresh paths: not the one that cards are judged on
KEYS = ("diff", "low", "high")

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="Trained models.")
Folder = Annotated[Path, typer.Option(help="Where models lie.")]


@app.command("list")
def listed(folder: Folder = Path("models"), as_json: AsJson = False) -> None:
    """List the trained models. Example: rehedge models list"""
    loaded = [cards.load(path.parent) for path in sorted(folder.glob(f"*/{cards.CARD}"))]
    if as_json:
        print(json.dumps([json.loads(one.card.model_dump_json()) for one in loaded]))
        return
    table = Table("model", "book", "market until", "measure", "decisions", "weights")
    for one in loaded:
        table.add_row(*_card_row(one))
    Console().print(table)


@app.command()
def show(model: Annotated[Path, typer.Argument(help="Folder of a model.")], as_json: AsJson = False) -> None:
    """Show one model's card in words. Example: rehedge models show models/short_call"""
    card = cards.load(model).card
    if as_json:
        print(card.model_dump_json())
    else:
        print("\n".join(words(card)))


@app.command()
def verify(
    models: Annotated[list[Path] | None, typer.Argument(help="Folders; without any: all that lie in --folder.")] = None,
    folder: Folder = Path("models"),
    evaluate: Annotated[
        int | None, typer.Option("--evaluate", min=1000, help="Judge each anew on so many fresh paths, too.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the weights' SHA-256, the features' hash and that the card is complete; exit code 1 where one fails.

    With --evaluate, too, that fresh paths do not contradict what the card says of the simulated ones.
    Example: rehedge models verify --evaluate 20000
    """
    paths = models or sorted(path.parent for path in folder.glob(f"*/{cards.CARD}"))
    faults = {str(path): fault(path) for path in paths}
    if evaluate is not None:
        faults |= {name: contradicted(cards.load(Path(name)), evaluate) for name, found in faults.items() if not found}
    if as_json:
        print(json.dumps(faults))
    else:
        for path, found in faults.items():
            print(f"{path}: {found or 'sound'}")
    if any(faults.values()):
        raise typer.Exit(1)


@app.command()
def promote(
    candidate: Annotated[Path, typer.Argument(help="Folder of the model to promote.")],
    over: Annotated[Path | None, typer.Option(help="The model to replace; default: its namesake in --folder.")] = None,
    folder: Folder = Path("models"),
    margin: Annotated[float, typer.Option(min=0, help="Allowed in a stress, bp of notional.")] = 1e4 * gate.MARGIN,
    data: Annotated[list[str] | None, typer.Option(help="Later history, once per asset; as for evaluate.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let a model replace another, or tell why not: exit code 1 and a line for each reason.

    It must be better than the other, than every tuned classical hedge and than its own action 0 on the history after
    its calibration window, the 95 % interval excluding zero, and in no stress worse by more than the margin.
    Example: rehedge models promote runs/mine --over models/short_call
    """
    place = folder / candidate.resolve().name if over is None else over
    if place.resolve() == candidate.resolve():
        raise BadInput(f"{candidate}: is the incumbent itself; give another model, or --over the one to replace")
    if over is not None and not (over / cards.CARD).is_file():
        raise BadInput(f"--over {over}: no model there; give the folder of the one to replace")
    incumbent = place if place.exists() else None
    loaded = cards.load(candidate)
    with bars(Console(stderr=True)) as progress:
        task = progress.add_task("gate", total=None, note="")
        found = gate.reasons(
            loaded,
            incumbent,
            Sources(tuple(data or ())),
            margin / 1e4,
            lambda note: progress.update(task, note=note),
        )
    kept = None if found else gate.swapped(candidate, place)
    if as_json:
        said = {"promoted": not found, "reasons": found, "margin": margin / 1e4, "kept": kept and str(kept)}
        print(json.dumps({"candidate": str(candidate), "place": str(place), **said}))
    else:
        was = "" if kept is None else f"; what was there is kept in {kept}"
        print("\n".join(f"refused: {each}" for each in found) or f"{candidate} stands in {place}{was}")
    if found:
        raise typer.Exit(1)


def fault(folder: Path) -> str | None:
    """What is wrong with the model there, in one line."""
    try:
        card = cards.load(folder).card
    except BadInput as error:
        return str(error)
    empty = [name for name in ("limits", "evaluation", "trained_range") if not getattr(card, name)]
    return f"the card is not complete: {', '.join(empty)} missing" if empty else None


def contradicted(model: Model, paths: int, seed: int = SEED) -> str | None:
    """Which difference of the card is not what fresh paths show, in one line.

    Two estimates of one number differ by less than twice the root of their half-widths' squares, 3.9 standard errors.
    """
    fresh = judging.on_simulated(model, paths, seed)
    for name, row in fresh.versus.items():
        stated, found = Interval(*(_number(model.card.evaluation, name, key) for key in KEYS)), row["measure"]
        width = math.hypot(stated.high - stated.low, found.high - found.low)  # of both, twice the half-widths'
        if not abs(found.diff - stated.diff) <= width:
            told = f"{1e4 * stated.diff:+.2f} bp on the card, {1e4 * found.diff:+.2f} bp on {paths:,} fresh paths"
            return f"{name} is not reproduced: {told}, {1e4 * width:.2f} bp apart at most; evaluate it with --record"
    return None


def _number(evaluation: dict[str, JsonValue], name: str, key: str) -> float:
    """Of the card's evaluation; NaN where it does not say."""
    row = evaluation.get(name)
    value = row.get(key) if isinstance(row, dict) else None
    return float(value) if isinstance(value, int | float) else math.nan


def words(card: Card) -> list[str]:
    """The card, a sentence or two for each part."""
    sources = [each.source for each in history.calibrated(card.task)]
    market = ", ".join(f"{one.asset} from {one.first[:10]} to {one.last[:10]}" for one in sources)
    opponents = ", ".join(f"{name} at {value:.4g}" for name, value in card.opponents.tuned.items())
    return [
        f"{card.name}: {card.task.about}.",
        f"Market: {card.task.market.kind}, calibrated on {market or 'nothing'}.",
        f"Trained to lower {card.task.objective.words}; {card.training.steps:,} decisions, seed {card.training.seed}.",
        f"Sees {len(card.features)} features (hash {card.features_sha256[:12]}): {', '.join(card.features)}.",
        f"Judged against {opponents}; the best of them is {card.opponents.best}.",
        f"Weights: SHA-256 {card.weights_sha256}.",
        "Evaluation: " + ("recorded." if card.evaluation else "none recorded; rehedge evaluate --record."),
        *(f"- {limit}" for limit in card.limits),
    ]


def _card_row(model: Model) -> tuple[str, ...]:
    card = model.card
    until = ", ".join(each.source.last[:10] for each in history.calibrated(card.task)) or "none"
    steps = f"{card.training.steps:,}"
    return (str(model.folder), card.task.about, until, card.task.objective.words, steps, card.weights_sha256[:12])
