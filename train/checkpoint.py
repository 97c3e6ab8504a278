"""Checkpoints: a tree of tensors and plain values in one safetensors file each, which is whole or not there.

A tree is a tensor, a value that JSON knows, or a list or dict (by str) of trees. Tensors come back with the strides
that they had: sums over another layout differ in their last bits.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from envs.types import BadInput

FORMAT = 1
KEPT = 3  # the newest
TENSOR = "$tensor"


class Checkpoints:
    """The newest few checkpoints of a run, by the decisions that it had learned from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, steps: int, tree: Any) -> None:
        """Durable when this returns; only then do older ones go."""
        self.folder.mkdir(exist_ok=True)
        write(self.folder / f"{steps:015}.safetensors", tree)
        for old in self.files()[:-KEPT]:
            old.unlink()

    def latest(self) -> Any:
        """The newest tree, None without any. Raises BadInput for one that is not sound, and touches nothing."""
        files = self.files()
        return read(files[-1]) if files else None

    def clear(self) -> None:
        for old in self.files():
            old.unlink()
        if self.folder.is_dir():
            self.folder.rmdir()

    def files(self) -> list[Path]:
        """Oldest first."""
        for unfinished in self.folder.glob("*.part"):
            unfinished.unlink()
        return sorted(self.folder.glob("*.safetensors"))


def write(path: Path, tree: Any) -> None:
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_taken(tree, tensors))
    atomic(path, save(tensors, {"format": str(FORMAT), "tree": text, "sha256": _digest(text, tensors)}))


def read(path: Path) -> Any:
    """The tree that `write` wrote, on the CPU. Raises BadInput, one line, for a file that is not sound."""
    data = path.read_bytes()
    try:
        about = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        tensors, text = load(data), about["tree"]
        sound = about["sha256"] == _digest(text, tensors)
    except (SafetensorError, ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise BadInput(f"{path}: the checkpoint is corrupt; remove it, and the run goes on from the one before it")
    if about["format"] != str(FORMAT):
        raise BadInput(f"{path}: written in format {about['format']}, this version reads {FORMAT}; use its own version")
    return _put(json.loads(text), tensors)


def atomic(path: Path, data: bytes) -> None:
    """`data` in the file at `path`, all of it or none, durable when this returns."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _taken(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """The tree as JSON, its tensors put into `tensors`, of repeated rows one."""
    if isinstance(tree, Tensor):
        once = tuple(slice(0, 1) if stride == 0 else slice(None) for stride in tree.stride())
        name = str(len(tensors))
        tensors[name] = tree.detach()[once].cpu().contiguous().clone()
        return {TENSOR: name, "size": list(tree.shape), "stride": list(tree.stride())}
    if isinstance(tree, dict):
        return {name: _taken(part, tensors) for name, part in tree.items()}
    if isinstance(tree, list | tuple):
        return [_taken(part, tensors) for part in tree]
    return tree


def _put(tree: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, list):
        return [_put(part, tensors) for part in tree]
    if not isinstance(tree, dict):
        return tree
    if TENSOR not in tree:
        return {name: _put(part, tensors) for name, part in tree.items()}
    written = tensors[tree[TENSOR]]
    laid = torch.empty_strided(written.shape, tree["stride"], dtype=written.dtype)
    return laid.copy_(written).expand(tree["size"])


def _digest(text: str, tensors: dict[str, Tensor]) -> str:
    found = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        found.update(tensors[name].numpy().data)
    return found.hexdigest()
