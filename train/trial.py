"""One trial of a sweep, in a process of its own: `python -m train.trial FOLDER`.

Reads job.json there, trains and judges, and leaves result.json. A killed one goes on from its last checkpoint when
it is started again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress

from agents.base import Diverged
from agents.classical.delta import Delta
from envs.calibration import validated
from envs.types import BadInput
from train import evaluate, pipeline
from train.checkpoint import atomic
from train.pipeline import Recipe
from train.sweep import JUDGING

JOB, RESULT = "job.json", "result.json"


def carried(job: dict[str, Any]) -> dict[str, Any]:
    """What the trained policy and its opponents did on fresh paths; or {"failed": why}.

    `job` is a `sweep.Job` as a dict. The value is the trained measure less that of the best tuned band, per notional.
    """
    torch.set_num_threads(1)
    folder, device = Path(job["folder"]), torch.device(job["device"])
    try:
        recipe = validated(Recipe, job["recipe"], "recipe")
        model = pipeline.trained(folder / "model", recipe, job["seed"], device, Progress(disable=True))
        agents = evaluate.roster(model, [Delta.name])
        judged = evaluate.on_simulated(model, job["paths"], JUDGING, agents=agents)
    except (BadInput, Diverged) as error:
        return {"failed": str(error)}
    band, training = model.card.opponents.best, model.card.training
    shown = {"PPO": judged.rows["PPO"], "delta": judged.rows[Delta.name], "band": judged.rows[band]}
    return {
        "value": judged.versus["vs_best_band"]["measure"].diff,
        "beats": judged.beats,
        "agents": shown,
        "band": band,
        "model": str(model.folder),
        "steps": training.steps,
        "seconds": training.seconds,
    }


def main(folder: Path) -> None:
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    atomic(folder / RESULT, json.dumps(carried(job)).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
