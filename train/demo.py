"""The command `demo`: the whole road on the data that ships, each step the command that a user would give."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Annotated

import tomli_w
import torch
import typer
from rich.console import Console

from agents import card as cards
from agents.card import Model
from envs.history import load_bars, load_funding
from envs.task import Task
from train import calibrate, history, pipeline, report
from train import evaluate as judging
from train.commands import bars, judged, show
from train.evaluate import Judgement
from train.learn import Settings
from train.pipeline import Recipe

CALIBRATED = ("2017-07-01", "2022-03-01")  # everything later is kept for judging
SHIPPED = Path("models/short_call")
CONFIG = Path("configs/paper.toml")
CRASH = ("2020-03-08", 9)  # first day and days of the paper session
PATHS = 30_000
TASK = "short_call"
TUNING_PATHS = 8_192
SEED = 2026
console = Console()


def command(
    out: Annotated[Path, typer.Option(help="Folder for everything that the demo makes.")] = Path("runs/demo"),
    steps: Annotated[int, typer.Option(min=1, help="Decisions to learn from.")] = 4_000_000,
    paths: Annotated[int, typer.Option(min=1000, help="Simulated paths to judge on.")] = PATHS,
) -> None:
    """Calibrate on real prices, train, judge, and hedge the crash of March 2020 on paper: a few minutes on two cores.

    Example: rehedge demo
    """
    torch.set_num_threads(1)  # on cores that others use too, two threads wait for each other
    out.mkdir(parents=True, exist_ok=True)
    model = _trained(out, steps)
    _heading("Judging: every agent on the same paths, then on the history after the calibration window")
    later = history.later(model.card.task, history.Sources(("btc",), ("btc",)))
    with bars(console) as progress:
        judgements = list(judged(model, paths, SEED, later, progress).values())
    for judgement in judgements:
        show(judgement, console)
    _honest(judgements[0], paths)
    page = report.write(out / "report.html", model, judgements)
    _heading(f"Paper session: {CRASH[1]} days from {CRASH[0]}, the crash of 12 March 2020 among them")
    _paper(out, model)
    console.print(f"\nReport: {page}   Model: {model.folder}   Journal: {out / 'paper.db'}")


def _trained(out: Path, steps: int) -> Model:
    _heading(f"Calibrating on BTC, hourly, {CALIBRATED[0]} to {CALIBRATED[1]}")
    market = out / "calibration.toml"
    with console.status("reading") as status:
        data = load_bars("btc"), load_funding("btc")
        calibration, diagnostics = calibrate.calibrate(*data, *CALIBRATED, status.update)
    calibration.save(market)
    console.print(calibrate.table(diagnostics, market))
    _heading("Learning: the classical hedges are tuned first, PPO starts at the best of them")
    task = pipeline.on_markets(Task.load(TASK), [calibration])
    recipe = Recipe(task=task, learning=Settings(steps=steps), tuning_paths=TUNING_PATHS)
    shutil.rmtree(out / TASK, ignore_errors=True)
    with bars(console) as progress:
        return pipeline.trained(out / TASK, recipe, seed=0, device=torch.device("cpu"), progress=progress)


def _honest(judgement: Judgement, paths: int) -> None:
    """Where this small training falls short, say so and show the shipped policy on the same kind of paths."""
    if all(judgement.beats.values()):
        return
    short = ", ".join(name for name, better in judgement.beats.items() if not better)
    console.print(f"\nThis policy, trained for minutes, is not shown to be better ({short}). The shipped one:")
    with bars(console) as progress:
        task = progress.add_task("simulated paths", total=paths, note=str(SHIPPED))
        shipped = judging.on_simulated(cards.load(SHIPPED), paths, SEED, lambda done: progress.advance(task, done))
    for line in shipped.sentences():
        console.print(line)


def _paper(out: Path, model: Model) -> None:
    """`rehedge serve` in a process of its own: serving shares nothing with training."""
    settings = tomllib.loads(CONFIG.read_text(encoding="utf-8")) | {"model": str(model.folder)}
    config, journal = out / "paper.toml", out / "paper.db"
    config.write_text(tomli_w.dumps(settings), encoding="utf-8")
    for old in out.glob("paper.db*"):
        old.unlink()
    first, days = CRASH
    arguments = ["serve", str(config), "--journal", str(journal), "--from", first, "--days", str(days)]
    subprocess.run([sys.executable, "rehedge.py", *arguments], check=True)


def _heading(text: str) -> None:
    console.print(f"\n[bold]{text}[/bold]")
