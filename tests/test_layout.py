"""The four packages are this repository's own, and serving loads nothing that it must not."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("envs", "agents", "train", "serve")
FORBIDDEN = {"stable_baselines3", "train", "pickle", "cloudpickle", "dill", "joblib"}
UPWARD = {"envs": {"agents", "train", "serve"}, "agents": {"train", "serve"}, "train": {"serve"}, "serve": {"train"}}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Top-level names that a file imports, at its head or within a function, or by a literal name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            literal = node.args[0] if node.args else None
            if isinstance(literal, ast.Constant):
                yield str(literal.value).split(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_from_this_repository(package: str) -> None:
    found = importlib.import_module(package).__file__
    assert found is not None
    assert Path(found).resolve() == ROOT / package / "__init__.py"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_distribution_owns_its_name(package: str) -> None:
    assert set(importlib.metadata.packages_distributions().get(package, [])) <= {"rehedge"}


def test_pyproject_names_the_same_packages() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert {name.split(".")[0] for name in settings["tool"]["setuptools"]["packages"]} == set(PACKAGES)
    assert settings["tool"]["importlinter"]["root_packages"] == list(PACKAGES)


def test_nothing_in_serve_imports_a_training_library_or_a_pickle() -> None:
    assert len(sources("serve")) > 10
    assert {(path.name, name) for path in sources("serve") for name in imported(path) if name in FORBIDDEN} == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    names = {name for path in sources(package) for name in imported(path)}
    assert len(sources(package)) > 5
    assert names & UPWARD[package] == set()


def test_the_walk_sees_every_form_of_import(tmp_path: Path) -> None:
    """Else the two tests above could pass on anything."""
    file = tmp_path / "sample.py"
    file.write_text(
        "import pickle as p, train.learn\nfrom stable_baselines3.common import x\nfrom . import near\n"
        "def late():\n    import dill\n    importlib.import_module('joblib.x')\n"
    )
    assert set(imported(file)) == {"pickle", "train", "stable_baselines3", "dill", "joblib"}
