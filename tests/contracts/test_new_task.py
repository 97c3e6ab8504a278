"""A task of one's own: by its path, or as a file put into envs/tasks/."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import pytest

import envs
from envs.task import Task
from envs.types import BadInput
from tests.contracts import test_environment

pytestmark = pytest.mark.usefixtures("small_market")
BY_ID = ("test_it_is_registered_under_its_id", "test_gymnasium_finds_no_fault")  # which a path has none of
MINE = """
id = "LongPut"
about = "a long put of two days, hedged with spot in a calm market"

[market]
kind = "gbm"
settings.volatility = [0.5]

[objective]
kind = "mean_std"

[contract]
bars = 48
decision_bars = 16
claims = [{ instrument = { right = "put", bars = 48 }, units = 1.0 }]
hedges = [{ instrument = { kind = "spot" } }]
"""


def test_a_task_of_ones_own_is_loaded_by_its_path_and_passes_the_checks(tmp_path: Path) -> None:
    path = tmp_path / "long_put.toml"
    path.write_text(MINE, encoding="utf-8")
    task = Task.load(path)
    assert task == Task.load(str(path))
    env = gymnasium.make("Rehedge/ShortCall-v0", task=path)
    assert env.unwrapped.batch.task == task
    for each in test_environment.CHECKS:
        if each.__name__ not in BY_ID:
            each(task)


def test_a_file_in_the_folder_is_registered_by_its_id(tmp_path: Path) -> None:
    """In a copy of the package's registration: the folder beside it is all that it reads."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "long_put.toml").write_text(MINE, encoding="utf-8")
    source = Path(envs.__file__).read_text(encoding="utf-8")
    try:
        program = compile(source, str(tmp_path / "__init__.py"), "exec")
        exec(program, {"__file__": str(tmp_path / "__init__.py")})  # noqa: S102 (our own file)
        spec = gymnasium.spec("Rehedge/LongPut-v0")
        assert spec.kwargs == {"task": "long_put"}
        assert spec.entry_point == "envs.gym:HedgingEnv"
        assert spec.vector_entry_point == "envs.gym:HedgingVectorEnv"
    finally:
        gymnasium.registry.pop("Rehedge/LongPut-v0", None)


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('kind = "gbm"', ""),
        ("bars = 48", "contract"),
        ("settings.volatility = [0.5]", r"market\.settings"),
        ('kind = "mean_std"', "objective"),
    ],
)
def test_a_faulty_task_file_is_one_line_that_names_the_place(tmp_path: Path, line: str, place: str) -> None:
    wrong = {
        'kind = "gbm"': 'kind = "gbn"', "bars = 48": "bars = 50",
        "settings.volatility = [0.5]": "settings.volatility = [-0.5]", 'kind = "mean_std"': 'kind = "mean_sdt"',
    }[line]  # fmt: skip
    path = tmp_path / "wrong.toml"
    path.write_text(MINE.replace(line, wrong, 1), encoding="utf-8")
    with pytest.raises(BadInput, match=rf"wrong\.toml: [^\n]*{place}[^\n]*$") as caught:
        Task.load(path)
    assert "\n" not in str(caught.value)
