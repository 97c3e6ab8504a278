"""What the documentation shows, works."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import torch

from envs.seeding import generators
from envs.task import Task

DOCS = Path(__file__).parents[1] / "docs"


def test_the_environment_of_the_guide_runs() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", (DOCS / "extending.md").read_text(encoding="utf-8"), re.DOTALL)
    task = Task.model_validate(tomllib.loads(block))
    world = task.world(3, 1, generators(1, 1)[0])
    world.reset(staggered=False)
    ended = [world.step(torch.zeros(3, task.actions)).terminated.all().item() for _ in range(task.contract.decisions)]
    assert ended == [False] * 19 + [True]
