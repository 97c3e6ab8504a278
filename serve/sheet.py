"""Shared tensor code on one market as a sheet of cells: recorded once, computed again only where an input changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import Graph, GraphModule

from serve.arithmetic import packed
from serve.recording import Cell, Recording

Bundles = Mapping[str, Sequence[Tensor]]
Code = Callable[[Bundles], Bundles]


class Block:
    """Cells that depend on the same inputs and serve the same results: they are computed together."""

    def __init__(self, inputs: int, serves: int) -> None:
        self.inputs, self.serves, self.stale = inputs, serves, True
        self.cells = list[Cell]()

    def outside(self) -> list[Cell]:
        """What its cells read of others."""
        own = set(self.cells)
        every = (each for cell in self.cells for each in cell.arguments if isinstance(each, Cell))
        return [each for each in dict.fromkeys(every) if each not in own]

    def compile(self, wanted: Collection[Cell]) -> None:
        """One function of all; `wanted`: cells that are read from outside."""
        graph, nodes = Graph(), dict[Cell, Any]()
        self.reads = list[Cell]()
        for cell in self.outside():
            if cell.fixed and not isinstance(cell.value, np.ndarray):
                nodes[cell] = cell.value
                continue
            nodes[cell] = graph.placeholder(f"x{len(self.reads)}")
            self.reads.append(cell)
        for cell in self.cells:
            assert cell.call is not None
            arguments = tuple(nodes[each] if isinstance(each, Cell) else each for each in cell.arguments)
            nodes[cell] = graph.call_function(cell.call, arguments)
        self.writes = [cell for cell in self.cells if cell in wanted]
        graph.output([nodes[cell] for cell in self.writes])
        made = type(GraphModule(torch.nn.Module(), graph))
        self.run: Callable[..., list[Any]] = partial(made.forward, None)  # without the graph itself


class Sheet:
    """Keeps values, and no state: what it returns depends on its inputs alone."""

    def __init__(self, code: Code, inputs: Bundles) -> None:
        """`code` makes results by name, bundles of tensors, of `inputs` by name. Of the inputs only shapes count: the
        code may not look at values.
        """
        recording = Recording()
        with torch.inference_mode(False), torch.no_grad():
            inputs = {name: [each.clone() for each in every] for name, every in inputs.items()}  # plain tensors
            for tensors in inputs.values():
                recording.given(tensors)
            self._inputs = {name: [recording.cells_of(each) for each in every] for name, every in inputs.items()}
            with recording:
                results = code(inputs)
            self._results = {name: [recording.cells_of(each) for each in every] for name, every in results.items()}
        self._shapes = {name: [tuple(each.shape) for each in every] for name, every in inputs.items()}
        self._given = dict[str, Any]()
        self._values = {cell: cell.value for cell in recording.cells if cell.fixed}
        self._shown: object = None
        self.blocks = self._made(recording.cells)
        self._touched = {name: [b for b in self.blocks if b.inputs >> k & 1] for k, name in enumerate(inputs)}
        self._needed = {name: [b for b in self.blocks if b.serves >> k & 1] for k, name in enumerate(results)}

    def put(self, name: str, rows: Sequence[Any]) -> None:
        """An input: for each of its tensors its numbers, or its one number. A zero's sign does not count."""
        if self._given.get(name) == rows:
            return
        self._given[name] = rows
        for cells, row, shape in zip(self._inputs[name], rows, self._shapes[name], strict=True):
            numbers = [each + 0 for each in (row if isinstance(row, tuple) else (row,))]  # -0.0 + 0 is 0.0
            whole = len(cells) < len(numbers)
            self._values.update({cells[0]: packed(shape, *numbers)} if whole else zip(cells, numbers, strict=True))
        for block in self._touched[name]:
            block.stale = True

    def show(self, of: object, rows: Callable[[], Iterable[tuple[str, Sequence[Any]]]]) -> None:
        """Puts the `rows` of something, unless it was the last to be shown."""
        if self._shown is not of:
            self._shown = None
            for name, row in rows():
                self.put(name, row)
            self._shown = of

    def result(self, name: str) -> list[list[float]]:
        """Each tensor's numbers, computed where an input has changed."""
        values = self._values
        with np.errstate(all="ignore"):
            for block in self._needed[name]:
                if block.stale:
                    made = block.run(*[values[cell] for cell in block.reads])
                    values.update(zip(block.writes, made, strict=True))
                    block.stale = False
        return [_numbers([values[cell] for cell in cells]) for cells in self._results[name]]

    def _made(self, cells: Sequence[Cell]) -> list[Block]:
        """In an order in which each finds what it reads: what depends on less, or serves more, comes first."""
        serves = self._served(cells)
        blocks = dict[tuple[int, int], Block]()
        for cell in cells:
            if cell.call is not None and cell in serves:
                key = (cell.inputs, serves[cell])
                blocks.setdefault(key, Block(*key)).cells.append(cell)
        wanted = {cell for every in self._results.values() for cell in chain(*every)}
        wanted.update(each for block in blocks.values() for each in block.outside())
        for block in blocks.values():
            block.compile(wanted)
        return sorted(blocks.values(), key=lambda each: (each.inputs.bit_count(), -each.serves.bit_count()))

    def _served(self, cells: Sequence[Cell]) -> dict[Cell, int]:
        """Of every cell that a result needs, which do, a bit for each."""
        serves = dict[Cell, int]()
        for place, every in enumerate(self._results.values()):
            serves.update({cell: serves.get(cell, 0) | 1 << place for cell in chain(*every)})
        for cell in reversed(cells):
            if cell in serves:
                reads = (each for each in cell.arguments if isinstance(each, Cell))
                serves.update({each: serves.get(each, 0) | serves[cell] for each in reads})
        return serves


def _numbers(values: list[Any]) -> list[float]:
    """Of one array, or of single numbers."""
    return values[0].ravel().tolist() if isinstance(values[0], np.ndarray) else values
