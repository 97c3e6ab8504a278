"""A traced graph of tensors (P, K) with few columns K, rewritten as one of tensors (P,).

TorchInductor makes one loop of what runs over P paths alone; a tensor of several rows would end it. Rows are made on
demand, from where one is picked back to where all are there, through arithmetic, views, stacks and small sums.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import product
from typing import Any, cast

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

MOST = 16  # rows of a tensor that is taken apart

aten = torch.ops.aten
Index = tuple[int, ...]  # a place on every axis but that of the paths, which has 0 there


def split(graph: GraphModule, paths: int) -> None:
    """Rewrites `graph` in place; it computes the same. Left as it is where the paths are as few as rows may be."""
    if paths <= MOST:
        return
    rows = _Rows(graph, paths)
    (output,) = graph.graph.find_nodes(op="output")
    for node in list(graph.graph.nodes):
        if node.target in PICKS and rows.single(node):
            with graph.graph.inserting_before(node):
                found = rows.apart(node, (0,) * rows.dim(node))
                if found is not None:
                    node.replace_all_uses_with(rows.shaped(node, [found]))
    with graph.graph.inserting_before(output):
        for node in dict.fromkeys(output.args[0]):
            if node.op == "call_function" and rows.several(node):
                output.replace_input_with(node, rows.shaped(node, [rows.of(node, at) for at in rows.places(node)]))
    graph.graph.eliminate_dead_code()
    graph.recompile()


class _Rows:
    """The rows made so far of a graph's tensors, each of which has the paths on one axis or on none."""

    def __init__(self, graph: GraphModule, paths: int) -> None:
        self.graph, self.paths = graph, paths
        self.made: dict[tuple[Node, Index], Any] = {}

    def shape(self, node: Node) -> tuple[int, ...]:
        value = node.meta.get("val")
        return tuple(value.shape) if isinstance(value, Tensor) else ()

    def dim(self, node: Node) -> int:
        return len(self.shape(node))

    def places(self, node: Node) -> list[Index]:
        return list(product(*(range(1 if size == self.paths else size) for size in self.shape(node))))

    def single(self, node: Any) -> bool:
        return isinstance(node, Node) and self.shape(node).count(self.paths) == 1 and len(self.places(node)) == 1

    def several(self, node: Any) -> bool:
        """Whether `node` is of a few rows, each in one piece in memory."""
        if not isinstance(node, Node) or self.shape(node).count(self.paths) != 1:
            return False
        innermost = node.meta["val"].stride(self.shape(node).index(self.paths)) == 1
        return innermost and 1 < len(self.places(node)) <= MOST

    def shaped(self, like: Node, rows: Sequence[Node]) -> Node:
        """`rows` (P,) put together in the shape, and the order in memory, of `like`: the paths innermost."""
        shape, axis = self.shape(like), self.shape(like).index(self.paths)
        if len(shape) == 1:
            return rows[0]
        rest = [size for place, size in enumerate(shape) if place != axis]
        whole = rows[0] if len(rows) == 1 else self.call(aten.stack.default, list(rows))
        whole = self.call(aten.view.default, whole, [*rest, self.paths])
        order = [*range(axis), len(rest), *range(axis, len(rest))]
        return self.call(aten.permute.default, whole, order)

    def of(self, node: Any, at: Index) -> Any:
        """The row (P,) at `at` of `node`; of a tensor without paths the number () there."""
        if not isinstance(node, Node):
            return node
        key = (node, at)
        if key not in self.made:
            self.made[key] = self._row(node, at)
        return self.made[key]

    def call(self, target: Any, *args: Any, **kwargs: Any) -> Node:
        node = self.graph.graph.call_function(target, args, kwargs)
        shapes = torch.fx.map_arg(args, lambda each: _bare(each.meta["val"]))
        node.meta["val"] = target(*shapes, **kwargs)
        return node

    def _row(self, node: Node, at: Index) -> Any:
        if self.shape(node) == (self.paths,) and node.target not in PICKS:
            return node
        found = self.apart(node, at)
        return self._picked(node, at) if found is None else found

    def apart(self, node: Node, at: Index) -> Any | None:
        """The row at `at` from rows of what `node` is made of; None where `node` has to stay whole."""
        rule = RULES.get(node.target) if len(self.places(node)) <= MOST or self.dim(node) == 0 else None
        if rule is None and isinstance(node.target, torch._ops.OpOverload) and torch.Tag.pointwise in node.target.tags:
            rule = _arithmetic
        return None if rule is None else rule(self, node, at)

    def _picked(self, node: Node, at: Index) -> Any:
        """From a tensor that stays whole."""
        axis = self.shape(node).index(self.paths) if self.paths in self.shape(node) else None
        found = node
        for place in reversed(range(len(at))):
            if place != axis:
                found = self.call(aten.select.int, found, place, at[place])
        return found


def _bare(value: Tensor) -> Tensor:
    """Its shape and dtype alone."""
    return torch.empty(value.shape, dtype=value.dtype, device="meta")


Rule = Callable[[_Rows, Node, Index], Any]


def _arithmetic(rows: _Rows, node: Node, at: Index) -> Any:
    def own(each: Any) -> Any:
        if not isinstance(each, Node):
            return each
        shape = rows.shape(each)
        aligned = at[len(at) - len(shape) :]
        return rows.of(each, tuple(0 if size == 1 else place for size, place in zip(shape, aligned, strict=True)))

    args = [own(each) for each in node.args]
    if not any(isinstance(each, Node) and rows.paths in rows.shape(each) for each in args):
        return None
    return rows.call(node.target, *args, **node.kwargs)


def _same(rows: _Rows, node: Node, at: Index) -> Any:
    return rows.of(node.args[0], at)


def _permuted(rows: _Rows, node: Node, at: Index) -> Any:
    source = cast(Node, node.args[0])
    order = cast(list[int], node.args[1]) if len(node.args) > 1 else [*reversed(range(rows.dim(source)))]
    return rows.of(source, tuple(at[order.index(axis)] for axis in range(len(at))))


def _selected(rows: _Rows, node: Node, at: Index) -> Any:
    source, axis, place = cast(Node, node.args[0]), cast(int, node.args[1]), cast(int, node.args[2])
    size, axis = rows.shape(source)[axis], axis % rows.dim(source)
    return None if size == rows.paths else rows.of(source, (*at[:axis], place % size, *at[axis:]))


def _unbound(rows: _Rows, node: Node, at: Index) -> Any:
    unbind, place = cast(Node, node.args[0]), cast(int, node.args[1])
    if unbind.target is not aten.unbind.int:
        return None
    source = cast(Node, unbind.args[0])
    axis = cast(int, (*unbind.args, 0)[1]) % rows.dim(source)
    return rows.of(source, (*at[:axis], place, *at[axis:]))


def _sliced(rows: _Rows, node: Node, at: Index) -> Any:
    source, axis, start = cast(Node, node.args[0]), *cast(tuple[int, int], (*node.args, 0, 0)[1:3])
    axis, size = axis % rows.dim(source), rows.shape(source)[axis]
    if size == rows.paths or len(node.args) > 4:
        return rows.of(source, at) if size == rows.shape(node)[axis] else None
    return rows.of(source, (*at[:axis], at[axis] + range(size)[start:].start, *at[axis + 1 :]))


def _unsqueezed(rows: _Rows, node: Node, at: Index) -> Any:
    axis = cast(int, node.args[1]) % len(at)
    return rows.of(node.args[0], (*at[:axis], *at[axis + 1 :]))


def _expanded(rows: _Rows, node: Node, at: Index) -> Any:
    shape = rows.shape(cast(Node, node.args[0]))
    if rows.paths not in shape:
        return None
    aligned = at[len(at) - len(shape) :]
    return rows.of(node.args[0], tuple(0 if size == 1 else place for size, place in zip(shape, aligned, strict=True)))


def _viewed(rows: _Rows, node: Node, at: Index) -> Any:
    """Where axes of size 1 came or went, and nothing else."""
    source = cast(Node, node.args[0])
    long = [place for place, size in zip(at, rows.shape(node), strict=True) if size > 1]
    if [size for size in rows.shape(source) if size > 1] != [size for size in rows.shape(node) if size > 1]:
        return None
    left = iter(long)
    return rows.of(source, tuple(next(left) if size > 1 else 0 for size in rows.shape(source)))


def _stacked(rows: _Rows, node: Node, at: Index) -> Any:
    parts, axis = cast(list[Node], node.args[0]), cast(int, (*node.args, 0)[1]) % len(at)
    return rows.of(parts[at[axis]], (*at[:axis], *at[axis + 1 :]))


def _summed(rows: _Rows, node: Node, at: Index) -> Any:
    """Sum or largest over one small axis."""
    source, axes = cast(Node, node.args[0]), cast(list[int], node.args[1] if len(node.args) > 1 else [])
    if len(axes) != 1 or rows.shape(source)[axes[0]] == rows.paths:
        return None
    axis = axes[0] % rows.dim(source)
    rest = at[axis + (rows.dim(node) == rows.dim(source)) :]  # the axis may have been kept
    each = [rows.of(source, (*at[:axis], k, *rest)) for k in range(rows.shape(source)[axis])]
    if node.target is aten.amax.default:
        return reduce(lambda one, other: rows.call(aten.maximum.default, one, other), each)
    wide = node.meta["val"].dtype
    each = [rows.call(aten._to_copy.default, one, dtype=wide) if one.meta["val"].dtype != wide else one for one in each]
    return reduce(lambda one, other: rows.call(aten.add.Tensor, one, other), each)


def _multiplied(rows: _Rows, node: Node, at: Index) -> Any:
    """A matrix of numbers times rows."""
    matrix, source = cast(tuple[Node, Node], node.args)
    if rows.paths in rows.shape(matrix):
        return None
    every = range(rows.shape(source)[0])
    terms = [rows.call(aten.mul.Tensor, rows.of(source, (k, 0)), rows.of(matrix, (at[0], k))) for k in every]
    return reduce(lambda one, other: rows.call(aten.add.Tensor, one, other), terms)


def _chosen(rows: _Rows, index: Node, values: Sequence[Node]) -> Node:
    """The one of `values` at each path's `index`: cheaper than to look it up."""
    place, found = rows.call(aten._to_copy.default, index, dtype=torch.int32), values[0]
    for number, each in enumerate(values[1:], 1):
        found = rows.call(aten.where.self, rows.call(aten.eq.Scalar, place, number), each, found)
    return found


def _gathered(rows: _Rows, node: Node, at: Index) -> Any:
    source, axis, index = cast(tuple[Node, int, Node], node.args[:3])
    axis, count = axis % rows.dim(source), rows.shape(source)[axis]
    if rows.dim(source) != 2 or count > MOST:
        return None
    values = [rows.of(source, (*at[:axis], k, *at[axis + 1 :])) for k in range(count)]
    return _chosen(rows, rows.of(index, at), values)


def _looked_up(rows: _Rows, node: Node, at: Index) -> Any:
    table, axis, index = cast(tuple[Node, int, Node], node.args)
    if rows.paths in rows.shape(table) or rows.shape(table)[axis] > MOST or rows.shape(index) != (rows.paths,):
        return None
    values = [rows.of(table, (*at[:axis], k, *at[axis + 1 :])) for k in range(rows.shape(table)[axis])]
    return _chosen(rows, index, values)


PICKS = (operator.getitem, aten.select.int, aten.sum.dim_IntList, aten.amax.default)
RULES: dict[Any, Rule] = {
    aten.clone.default: _same,
    aten.detach.default: _same,
    aten.alias.default: _same,
    aten.lift_fresh_copy.default: _same,
    aten._to_copy.default: _arithmetic,
    aten.t.default: _permuted,
    aten.numpy_T.default: _permuted,
    aten.permute.default: _permuted,
    aten.select.int: _selected,
    operator.getitem: _unbound,
    aten.slice.Tensor: _sliced,
    aten.unsqueeze.default: _unsqueezed,
    aten.expand.default: _expanded,
    aten.stack.default: _stacked,
    aten.view.default: _viewed,
    aten.sum.dim_IntList: _summed,
    aten.amax.default: _summed,
    aten.mm.default: _multiplied,
    aten.gather.default: _gathered,
    aten.index_select.default: _looked_up,
}
