"""What the documentation shows, works."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

import rehedge
from envs.seeding import generators
from envs.task import Task

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
ENDS = ("|", "||", "&&", ">")  # of a command in a line of shell


def test_the_environment_of_the_guide_runs() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", (DOCS / "extending.md").read_text(encoding="utf-8"), re.DOTALL)
    task = Task.model_validate(tomllib.loads(block))
    world = task.world(3, 1, generators(1, 1)[0])
    world.reset(staggered=False)
    ended = [world.step(torch.zeros(3, task.actions)).terminated.all().item() for _ in range(task.contract.decisions)]
    assert ended == [False] * 19 + [True]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_taken_as_they_are_written(page: Path) -> None:
    """Every `rehedge …` of a shell block names a command, its arguments and its options."""
    for line in shell(page.read_text(encoding="utf-8")):
        words = list(shlex.split(line, comments=True))
        if words and words[0].removeprefix(".venv/bin/") == "rehedge":
            ends = [place for place, word in enumerate(words) if word in ENDS]
            parsed(words[1 : min(ends, default=len(words))])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("evaluate models/short_call --nope", "No such option"),
        ("evaluate m --paths 9", "1000"),
        ("models list x", "unexpected extra argument"),
    ],
)
def test_what_a_command_does_not_take_is_found(line: str, said: str) -> None:
    with pytest.raises(Exception, match=said):
        parsed(line.split())


@pytest.mark.parametrize("name", rehedge.COMMANDS)
def test_examples_of_the_help_are_taken(name: str) -> None:
    """Every command shows at least one, or is a group of such."""
    found = [line for text in helps(command(name)) for line in re.findall(r"Example: rehedge (.*)", text)]
    assert found
    for line in found:
        parsed(shlex.split(line.strip().rstrip(".")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_links_to_are_there(page: Path) -> None:
    linked = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [each for each in linked if not (page.parent / each).exists()] == []


def shell(text: str) -> Iterator[str]:
    """Lines of shell blocks, those that go on joined."""
    for block in re.findall(r"```(?:sh|console)[^\n]*\n(.*?)```", text, re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()


def command(name: str) -> Any:
    root = typer.main.get_command(rehedge.app)
    return root.get_command(None, name)  # type: ignore[attr-defined, arg-type]


def helps(found: Any) -> Iterator[str]:
    """Help of a command, or of each in a group."""
    for each in getattr(found, "commands", {"": found}).values():
        yield each.help or ""


def parsed(words: list[str]) -> None:
    """Fails where the words are not what the command takes; runs nothing."""
    found, rest = command(words[0]), words[1:]
    assert found is not None, f"no command {words[0]!r}"
    if hasattr(found, "commands"):
        assert rest[0] in found.commands, f"no command {' '.join(words[:2])!r}"
        found, rest = found.commands[rest[0]], rest[1:]
    if "--help" not in rest:
        found.make_context(words[0], rest)
