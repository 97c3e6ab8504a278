"""The learned actor alone: what serving loads. Plain torch and safetensors, nothing that could run code."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor, nn

from envs.types import BadInput

ACTIVATIONS: dict[str, type[nn.Module]] = {"silu": nn.SiLU, "tanh": nn.Tanh, "relu": nn.ReLU}


class ActorNetwork(nn.Module):
    """Features (..., F) in, deterministic action (..., A) in [-1, 1] out, by one small perceptron."""

    def __init__(self, features: int, hidden: tuple[int, ...], activation: str, actions: int) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise BadInput(f"activation {activation!r} is not known: use one of {', '.join(ACTIVATIONS)}")
        self.activation, self.features = activation, features
        self.layers = perceptron((features, *hidden, actions), ACTIVATIONS[activation])

    def forward(self, features: Tensor) -> Tensor:
        """Return the action (..., A) for features (..., F) of the network's dtype."""
        action: Tensor = self.layers(features)
        return action.clamp(-1.0, 1.0)

    def save(self, path: Path | str) -> None:
        """Write the weights and the activation's name as safetensors."""
        save_file(self.state_dict(), path, metadata={"activation": self.activation})

    @classmethod
    def load(
        cls, path: Path | str, features: int, hidden: tuple[int, ...], activation: str, actions: int
    ) -> ActorNetwork:
        """Return the network that `save` wrote, in the dtype it was written in, on the CPU.

        `BadInput` if the file cannot be read whole, or holds another network than the one described.
        """
        try:
            raw = Path(path).read_bytes()
        except OSError as error:
            raise BadInput(f"{path}: cannot be read ({error.strerror}): export the policy again") from error
        return cls.of(raw, path, features, hidden, activation, actions)

    @classmethod
    def of(
        cls, raw: bytes, path: Path | str, features: int, hidden: tuple[int, ...], activation: str, actions: int
    ) -> ActorNetwork:
        """As `load`, of the bytes that were read from `path`."""
        network = cls(features, hidden, activation, actions)
        written, tensors = _parsed(raw, path)
        if written != activation:
            raise BadInput(f"{path}: activation is {written!r}, expected {activation!r}: load it with its own card")
        _check(path, tensors, network.state_dict())
        network.load_state_dict(tensors, assign=True)
        return network.eval()


def perceptron(
    widths: tuple[int, ...],
    activation: type[nn.Module],
    linear: type[nn.Linear] = nn.Linear,
    *,
    activate_last: bool = False,
) -> nn.Sequential:
    """Return linear layers between consecutive widths, an activation after each but the last (or after each)."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [linear(inputs, outputs), activation()]
    return nn.Sequential(*(layers if activate_last else layers[:-1]))


def _parsed(raw: bytes, path: Path | str) -> tuple[str | None, dict[str, Tensor]]:
    """Return the activation's name and the tensors of a safetensors file.

    Its header is JSON behind eight bytes that say how long it is: https://github.com/huggingface/safetensors#format
    """
    try:
        tensors = load(raw)
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        return header.get("__metadata__", {}).get("activation"), tensors
    except SafetensorError as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{path}: not a whole safetensors file ({reason}): export the policy again") from error


def _check(path: Path | str, tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Raise `BadInput` unless the tensors have the expected names and shapes, one float dtype and finite values."""
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            raise BadInput(
                f"{path}: {name} has shape {found.get(name)}, expected {wanted.get(name)}: load it with its own card"
            )
    dtypes = {tensor.dtype for tensor in tensors.values()}
    if dtypes not in ({torch.float32}, {torch.float64}):
        raise BadInput(f"{path}: weights are {sorted(map(str, dtypes))}, expected all float32: export the policy again")
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise BadInput(f"{path}: weights are not all finite: export the policy again")
