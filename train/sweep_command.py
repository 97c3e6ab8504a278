"""The command `sweep`."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from envs.types import BadInput
from train import frontier, sweep, workers
from train.commands import AsJson, bars, chosen
from train.frontier import Row
from train.sweep import Queue, Sweep


def command(
    config: Annotated[Path, typer.Argument(help="TOML: a recipe, the grid, what to search for.")],
    out: Annotated[Path, typer.Argument(help="Folder: study.db, trials/, frontier.png.")],
    study: Annotated[str | None, typer.Option(help="SQLAlchemy URL; default: SQLite in OUT.")] = None,
    name: Annotated[str, typer.Option(help="Of the study there.")] = "sweep",
    processes: Annotated[int | None, typer.Option(min=1, help="Trials at a time; default: one per core.")] = None,
    retries: Annotated[int, typer.Option(min=0, help="Times that a trial whose process is killed is taken up.")] = 3,
    address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster: auto, or host:port; OUT is then seen by all nodes.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Train and judge a policy for every cell of a grid of books, risk aversions and seeds, and search in each.

    The study is the queue and the memory: a sweep that was stopped goes on when the same command is given again, and a
    trial whose process was killed goes on from its checkpoint. Exit code 1: a trial failed.

    Example: rehedge sweep configs/sweep.toml runs/sweep --processes 2
    """
    plan = Sweep.load(config)
    out.mkdir(parents=True, exist_ok=True)
    with (out / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"{out}: another sweep runs there; wait for it, or give another folder") from None
        opened = sweep.opened(plan, study or f"sqlite:///{out.absolute() / 'study.db'}", name)
        queue = Queue(plan, opened, out, chosen(device).type)
        _carried(queue, processes or os.cpu_count() or 1, retries, address)
    found = frontier.rows(opened, plan)
    frontier.draw(out / "frontier.png", found)
    if as_json:
        print(
            json.dumps({"study": name, "frontier": str(out / "frontier.png"), "trials": [vars(row) for row in found]})
        )
    else:
        _told(found, out)
    if any(row.state != "complete" for row in found):
        raise typer.Exit(1)


def _carried(queue: Queue, processes: int, retries: int, address: str | None) -> None:
    with bars(Console(stderr=True)) as progress:
        bar = progress.add_task("trials", total=len(queue.study.trials), note="")
        progress.advance(bar, len(queue.study.trials) - queue.count)
        queue.report = lambda said: progress.update(bar, advance=1, note=said)
        if address is None:
            workers.run(queue, min(processes, max(1, queue.count)), retries)
            return
        try:
            from train import cluster
        except ImportError:
            raise BadInput("--address: Ray is not installed; pip install 'rehedge[ray]'") from None
        cluster.run(queue, address, retries)


def _told(found: list[Row], out: Path) -> None:
    console = Console()
    console.print(frontier.table(found))
    for row in found:
        if row.state != "complete":
            console.print(f"trial {row.number}: {row.state}: {row.result.get('failed', '')}", soft_wrap=True)
    console.print(f"Frontier: {out / 'frontier.png'}   Models: {out / 'trials'}/*/model", soft_wrap=True)
