"""Shared tensor code on one market as a sheet of cells: recorded once, computed again only where an input changed.

The code runs once on tensors of the inputs' shapes, and every operation is noted. Tensors of few elements are taken
apart, so that indexing, stacking and broadcasting cost nothing, equal operations are one, and each number is a cell;
larger tensors are arrays. Cells that depend on the same inputs and serve the same results are one function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

from serve.recording import Cell, Recording

Leaf = Any  # a number, or an array


@dataclass(eq=False)
class Block:
    """Cells that are computed together."""

    changes: frozenset[str]  # inputs that they depend on
    serves: frozenset[str]  # results that need them
    cells: list[Cell] = field(default_factory=list)
    stale: bool = True

    def compile(self, wanted: set[Cell]) -> None:
        """`wanted`: cells that are read from outside."""
        graph, nodes = Graph(), dict[Cell, Node]()
        own = set(self.cells)
        self.reads = list(dict.fromkeys(a for cell in self.cells for a in cell.reads() if a not in own))
        for place, cell in enumerate(self.reads):
            nodes[cell] = graph.placeholder(f"x{place}")
        for cell in self.cells:
            nodes[cell] = graph.call_function(cell.call, tuple(_argument(a, nodes) for a in cell.arguments))
        self.writes = [cell for cell in self.cells if cell in wanted]
        graph.output([nodes[cell] for cell in self.writes])
        self.run = GraphModule(torch.nn.Module(), graph).forward


class Sheet:
    """Holds values, and no state: what it returns depends on its inputs alone."""

    def __init__(self, code: Callable[[Any], Mapping[str, Any]], inputs: Mapping[str, Any]) -> None:
        """`code` makes named results, bundles of tensors, of `inputs`: by name, tuples of tensors.

        Their values do not count; only shapes do, and the code may not look at values.
        """
        with torch.inference_mode(False), torch.no_grad(), Recording(inputs) as recording:
            results = code(inputs)
        self._inputs = {name: recording.cells_of(every) for name, every in inputs.items()}
        self._results = {name: recording.cells_of(every) for name, every in results.items()}
        self._given = dict[str, Any]()
        self._values = dict[Cell, Any]()
        self._blocks = self._made()

    def put(self, name: str, values: Sequence[Leaf]) -> None:
        """The values of an input, numbers and arrays in its tensors' order."""
