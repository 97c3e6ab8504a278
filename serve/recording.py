"""Noting what tensor code does, as cells: single numbers where tensors have few elements, arrays where they have many.

Indexing, stacking and broadcasting of single numbers leave no trace, and equal operations are one cell.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from serve.arithmetic import (
    CASTS,
    ELEMENTWISE,
    FOLDS,
    PRODUCTS,
    Both,
    full,
    listed,
    only,
    packed,
    reshaped,
    through_torch,
)

SINGLE = 4  # elements of a tensor that is taken apart
aten = torch.ops.aten
FRESH = {aten.zeros_like, aten.ones_like, aten.full_like, aten.new_zeros, aten.new_ones, aten.new_full}
MOVES = {
    *(aten.view, aten.expand, aten.unsqueeze, aten.squeeze, aten.select, aten.slice, aten.permute, aten.t),
    *(aten.transpose, aten.unbind, aten.split, aten.stack, aten.cat, aten.clone, aten.detach, aten.alias),
    *(aten.lift_fresh, aten.index, aten._unsafe_view, aten.flip),
}


@dataclass(frozen=True, eq=False, slots=True)
class Cell:
    """An input (`call` is None), a constant (likewise, without inputs), or what `call` makes of `arguments`."""

    inputs: int  # those it depends on, a bit for each
    call: Callable[..., Any] | None = None
    arguments: tuple[Any, ...] = ()  # cells and constants
    value: Any = None  # a constant's

    @property
    def fixed(self) -> bool:
        return self.inputs == 0


@dataclass(frozen=True)
class Numbers:
    """A tensor taken apart."""

    places: Tensor  # int64, of its shape: which cell each element is


@dataclass(frozen=True)
class Whole:
    """A tensor as one array, which may have one row for several equal ones."""

    cell: Cell
    shape: tuple[int, ...]  # of the array


Value = Numbers | Whole


class Recording(TorchDispatchMode):
    """While it is entered, notes every operation on what was given as an input."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.cells = list[Cell]()
        self._place = dict[Cell, int]()
        self._made = dict[Any, Cell]()
        self._calls = dict[Any, Callable[..., Any]]()
        self._known = dict[int, tuple[Tensor, Value]]()  # by identity, and kept so that none is used twice
        self._inputs = 0

    def given(self, tensors: Sequence[Tensor]) -> None:
        """They change together."""
        bit, self._inputs = 1 << self._inputs, self._inputs + 1
        for tensor in tensors:
            if tensor.numel() <= SINGLE:
                places = [self._placed(Cell(bit)) for _ in range(tensor.numel())]
                value: Value = Numbers(torch.tensor(places).view(tensor.shape))
            else:
                value = Whole(self._added(Cell(bit)), tuple(tensor.shape))
            self._known[id(tensor)] = tensor, value

    def cells_of(self, tensor: Tensor) -> tuple[Cell, ...]:
        """One array's cell, or one for each element."""
        value = self._value(tensor)
        if isinstance(value, Whole):
            return (self._full(value, tensor.shape),)
        return tuple(self.cells[place] for place in value.places.flatten().tolist())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        every = [each for each in _flat(args) if isinstance(each, Tensor)]
        packet = func.overloadpacket
        if packet in FRESH or not any(id(each) in self._known for each in every):
            return made
        assert not func._schema.is_mutable, f"{func} changes what it is given"
        assert isinstance(made, Tensor | list | tuple), f"{func} looks at a value"
        found = self._noted(packet, func, args, kwargs or {}, made)
        for tensor, value in zip(_flat(made), found, strict=True):
            self._known[id(tensor)] = tensor, value
        return made

    def _noted(self, packet: Any, func: Any, args: Any, kwargs: Any, made: Any) -> Sequence[Value]:
        if packet is aten._to_copy and made.dtype in CASTS:
            return [self._elementwise(CASTS[made.dtype], args[:1], made)]
        if packet in (aten.add, aten.sub) and kwargs.get("alpha", 1) == 1:
            kwargs = {}
        if packet in ELEMENTWISE and not kwargs:
            return [self._elementwise(ELEMENTWISE[packet], args, made)]
        if packet in FOLDS and not kwargs:
            return [self._folded(FOLDS[packet], made, *args)]
        if packet in MOVES and all(isinstance(self._value(x), Numbers) for x in _flat(args) if isinstance(x, Tensor)):
            return [Numbers(each) for each in _flat(func(*_mapped(self._places, args), **kwargs))]
        if packet in PRODUCTS and not kwargs:
            return [self._apart(self._called(PRODUCTS[packet], [self._whole(each) for each in args]), made)]
        if packet in (aten.expand, aten.unsqueeze, aten.view, aten._unsafe_view):
            return [self._reshaped(packet, made, *args)]
        return self._through_torch(func, args, kwargs, made)

    def _elementwise(self, rule: Both, operands: Sequence[Any], made: Tensor) -> Value:
        values = [self._value(each) for each in operands]
        if all(isinstance(each, Numbers) for each in values):
            wide = torch.broadcast_tensors(*(each.places for each in values))  # type: ignore
            rows = list(zip(*(each.flatten().tolist() for each in wide), strict=True))
            if len(set(rows)) <= SINGLE:
                own = {row: self._called(rule.of_numbers, [self.cells[k] for k in row]) for row in set(rows)}
                return self._numbers([own[row] for row in rows], made)
        arrays = [self._array(each) for each in values]
        shape = np.broadcast_shapes(*(shape for _, shape in arrays))
        return Whole(self._called(rule.of_arrays, [cell for cell, _ in arrays]), shape)

    def _folded(self, rule: Both, made: Tensor, tensor: Tensor, axes: Any = None, kept: bool = False) -> Value:
        every = range(tensor.dim()) if axes is None or axes == [] else axes
        axis = tuple(each % tensor.dim() for each in ([every] if isinstance(every, int) else every))
        value = self._value(tensor)
        if isinstance(value, Numbers):
            last = value.places.movedim(axis, tuple(range(-len(axis), 0))).flatten(-len(axis))
            rows = last.reshape(-1, last.shape[-1]).tolist()
            return self._numbers([self._chained(rule.of_numbers, row) for row in rows], made)
        whole = self._full(value, tensor.shape)
        return self._apart(self._called(rule.of_arrays, [whole, axis, kept]), made)

    def _chained(self, call: Callable[..., Any], places: list[int]) -> Cell:
        return reduce(lambda one, other: self._called(call, [one, other]), (self.cells[k] for k in places))

    def _reshaped(self, packet: Any, made: Tensor, tensor: Tensor, where: Any, *rest: Any) -> Value:
        """Of an array, the same elements in another shape."""
        value = self._value(tensor)
        assert isinstance(value, Whole)
        if packet is aten.expand:
            return value
        if packet is not aten.unsqueeze:
            whole = self._full(value, tensor.shape)
            return Whole(self._called(reshaped, [whole, tuple(made.shape)]), tuple(made.shape))
        shape = (*(1,) * (tensor.dim() - len(value.shape)), *value.shape)
        place = where % made.dim()
        grown = (*shape[:place], 1, *shape[place:])
        return Whole(self._called(reshaped, [value.cell, grown]), grown)

    def _through_torch(self, func: Any, args: Any, kwargs: Any, made: Any) -> Sequence[Value]:
        """What has no rule: by the same operation, on arrays."""
        operands = [x for x in _flat(args) if isinstance(x, Tensor)]
        frame = _mapped(lambda _: None, args)
        key = (func, repr((frame, kwargs)))
        call = self._calls.setdefault(key, through_torch(func, args, kwargs))
        cells = [self._whole(each) for each in operands]
        whole = self._called(call, cells)
        if isinstance(made, Tensor):
            return [self._apart(whole, made)]
        each = enumerate(made)
        return [self._apart(self._called(operator.getitem, [whole, place]), one) for place, one in each]

    def _apart(self, array: Cell, made: Tensor) -> Value:
        """The array that was made, taken apart where it is small."""
        count = made.numel()
        if count > SINGLE:
            return Whole(array, tuple(made.shape))
        if count == 1:
            return self._numbers([self._called(only, [array])], made)
        row = self._called(listed, [array])
        return self._numbers([self._called(operator.getitem, [row, place]) for place in range(count)], made)

    def _numbers(self, cells: Sequence[Cell], like: Tensor) -> Numbers:
        return Numbers(torch.tensor([self._placed(each) for each in cells]).view(like.shape))

    def _value(self, operand: Any) -> Value:
        if not isinstance(operand, Tensor):
            return Numbers(torch.tensor(self._placed(self._constant(operand))))
        if id(operand) not in self._known:
            self._known[id(operand)] = operand, self._fixed(operand)
        return self._known[id(operand)][1]

    def _fixed(self, tensor: Tensor) -> Value:
        with torch.utils._python_dispatch._disable_current_modes():
            if tensor.numel() > SINGLE:
                return Whole(self._added(Cell(0, value=tensor.numpy().copy())), tuple(tensor.shape))
            return self._numbers([self._constant(each) for each in tensor.flatten().tolist()], tensor)

    def _places(self, tensor: Tensor) -> Tensor:
        value = self._value(tensor)
        assert isinstance(value, Numbers)
        return value.places

    def _array(self, value: Value) -> tuple[Cell, tuple[int, ...]]:
        """A cell to compute with, and its shape: one number where all are the same, one row where all rows are."""
        if isinstance(value, Whole):
            return value.cell, value.shape
        places = value.places
        for axis in range(places.dim()):
            first = places.narrow(axis, 0, 1)
            places = first if bool((places == first).all()) else places
        cells = [self.cells[k] for k in places.flatten().tolist()]
        if len(cells) == 1:
            return cells[0], ()
        return self._called(packed, [tuple(places.shape), *cells]), tuple(places.shape)

    def _whole(self, tensor: Tensor) -> Cell:
        return self._full(self._value(tensor), tensor.shape)

    def _full(self, value: Value, shape: Sequence[int]) -> Cell:
        """The array with all its rows."""
        cell, own = self._array(value)
        return cell if own == tuple(shape) else self._called(full, [cell, tuple(shape)])

    def _called(self, call: Callable[..., Any], arguments: Sequence[Any]) -> Cell:
        """The cell for it; where it was made already that one, and of constants a constant."""
        key = (call, *(id(each) if isinstance(each, Cell) else each for each in arguments))
        if key not in self._made:
            reads = [each for each in arguments if isinstance(each, Cell)]
            inputs = reduce(operator.or_, (each.inputs for each in reads), 0)
            if inputs == 0:
                values = [each.value if isinstance(each, Cell) else each for each in arguments]
                with np.errstate(all="ignore"):
                    made = call(*values)
                self._made[key] = self._added(Cell(0, value=made))
            else:
                self._made[key] = self._added(Cell(inputs, call, tuple(arguments)))
        return self._made[key]

    def _constant(self, value: Any) -> Cell:
        key = (type(value), repr(value))
        if key not in self._made:
            self._made[key] = self._added(Cell(0, value=value))
        return self._made[key]

    def _added(self, cell: Cell) -> Cell:
        self._placed(cell)
        return cell

    def _placed(self, cell: Cell) -> int:
        if cell not in self._place:
            self._place[cell] = len(self.cells)
            self.cells.append(cell)
        return self._place[cell]


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for each in value:
            yield from _flat(each)
    else:
        yield value


def _mapped(change: Callable[[Tensor], Any], value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_mapped(change, each) for each in value)
    return change(value) if isinstance(value, Tensor) else value
