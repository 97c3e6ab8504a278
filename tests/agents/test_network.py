"""The actor alone: arithmetic, its file, and what a damaged file says."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from agents import network as module
from agents.network import ActorNetwork
from envs.types import BadInput

SHAPE = {"features": 3, "hidden": (8, 5), "activation": "silu", "actions": 2}


@pytest.fixture
def actor() -> ActorNetwork:
    torch.manual_seed(0)
    return ActorNetwork(**SHAPE)


@pytest.fixture
def file(actor: ActorNetwork, tmp_path: Path) -> Path:
    path = tmp_path / "actor.safetensors"
    actor.save(path)
    return path


def by_hand(actor: ActorNetwork, features: torch.Tensor) -> torch.Tensor:
    """The same perceptron in plain products, one row at a time."""
    weights = list(actor.parameters())
    rows = []
    for row in features:
        for weight, bias in zip(weights[0:-2:2], weights[1:-2:2], strict=True):
            row = weight @ row + bias
            row = row / (1.0 + torch.exp(-row))
        rows.append((weights[-2] @ row + weights[-1]).clamp(-1.0, 1.0))
    return torch.stack(rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_forward_is_the_clipped_perceptron(actor: ActorNetwork, dtype: torch.dtype) -> None:
    actor = actor.to(dtype)
    features = 30.0 * torch.randn(50, 3, dtype=dtype)
    expected = by_hand(actor, features)
    assert (expected.abs() == 1.0).any()
    assert (expected.abs() < 1.0).any()
    torch.testing.assert_close(actor(features), expected)
    torch.testing.assert_close(actor(features.view(5, 10, 3)), expected.view(5, 10, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("activation", ["silu", "tanh", "relu"])
def test_round_trip_is_exact(tmp_path: Path, activation: str, dtype: torch.dtype) -> None:
    shape = SHAPE | {"activation": activation}
    actor = ActorNetwork(**shape).to(dtype)
    actor.save(tmp_path / "a")
    loaded = ActorNetwork.load(tmp_path / "a", **shape)
    features = torch.randn(20, 3, dtype=dtype)
    assert torch.equal(loaded(features), actor(features))
    assert not loaded.training


def refusal(path: Path, **changes: object) -> str:
    with pytest.raises(BadInput) as caught:
        ActorNetwork.load(path, **(SHAPE | changes))
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_every_truncation_is_refused(file: Path, tmp_path: Path) -> None:
    data = file.read_bytes()
    for length in [*range(0, len(data), 37), len(data) - 1]:
        cut = tmp_path / "cut"
        cut.write_bytes(data[:length])
        assert "export" in refusal(cut)


def test_garbage_and_absence_are_refused(file: Path, tmp_path: Path) -> None:
    data = bytearray(file.read_bytes())
    data[8:20] = b"\xff" * 12
    file.write_bytes(data)
    refusal(file)
    refusal(tmp_path / "absent")
    refusal(tmp_path)


@pytest.mark.parametrize("changes", [{"features": 4}, {"hidden": (8, 6)}, {"hidden": (8,)}, {"actions": 1}])
def test_other_shapes_are_refused(file: Path, changes: dict[str, object]) -> None:
    assert "shape" in refusal(file, **changes)


def test_another_activation_is_refused(file: Path) -> None:
    assert "'silu'" in refusal(file, activation="tanh")


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(BadInput, match="use one of silu, tanh, relu"):
        ActorNetwork(3, (8,), "swash", 2)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(file: Path, value: float) -> None:
    tensors = load_file(file)
    tensors["layers.2.weight"][1, 1] = value
    save_file(tensors, file, metadata={"activation": "silu"})
    assert "finite" in refusal(file)


def test_weights_that_are_not_floats_are_refused(file: Path) -> None:
    tensors = {name: tensor.half() for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"activation": "silu"})
    assert "float16" in refusal(file)


def test_the_file_imports_no_pickle_and_no_training_library() -> None:
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} == {
        "__future__",
        "itertools",
        "pathlib",
        "torch",
        "json",
        "safetensors",
        "envs",
    }
    calls = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not calls & {"pickle", "eval_", "exec"}
    code = "import sys, agents.network; sys.exit('stable_baselines3' in sys.modules)"
    root = Path(module.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
