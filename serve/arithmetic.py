"""PyTorch's elementwise operations on Python's numbers and on NumPy's arrays: the same values, to rounding.

Python's own would raise where IEEE arithmetic has an infinity or no number; these do not.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

Array = NDArray[Any]
aten = torch.ops.aten


class Both(NamedTuple):
    of_numbers: Callable[..., Any]
    of_arrays: Callable[..., Any]


def divided(a: float, b: float) -> float:
    if b == 0:
        return math.nan if a == 0 or a != a else math.copysign(math.inf, a) * math.copysign(1.0, b)
    return a / b


def exponential(x: float) -> float:
    return math.exp(x) if x < 709 else float(np.exp(x))


def logarithm(x: float) -> float:
    if x > 0:
        return math.log(x)
    return -math.inf if x == 0 else math.nan


def root(x: float) -> float:
    return math.sqrt(x) if x >= 0 else math.nan


def greater(a: float, b: float) -> float:
    """What is no number stays so, as in all that follow."""
    return a if a >= b or a != a else b


def lesser(a: float, b: float) -> float:
    return a if a <= b or a != a else b


def clamped(x: float, low: float | None = None, high: float | None = None) -> float:
    x = x if low is None else greater(x, low)
    return x if high is None else lesser(x, high)


def chosen(condition: bool, a: float, b: float) -> float:
    return a if condition else b


def masked(x: float, mask: bool, value: float) -> float:
    return value if mask else x


def rounded(x: float) -> float:
    return float(round(x)) if math.isfinite(x) else x


def signum(x: float) -> float:
    return x if x != x else float((x > 0) - (x < 0))


def lerped(a: Any, b: Any, weight: Any) -> Any:
    """As PyTorch writes it, exact at both ends; of numbers."""
    return a + weight * (b - a) if abs(weight) < 0.5 else b - (b - a) * (1 - weight)


def powered(x: float, power: float) -> float:
    return x * x if power == 2 else float(np.power(np.float64(x), power))


def powered_arrays(x: Array, power: float) -> Array:
    return x * x if power == 2 else x**power


def lerped_arrays(a: Any, b: Any, weight: Any) -> Any:
    return np.where(np.abs(weight) < 0.5, a + weight * (b - a), b - (b - a) * (1 - np.asarray(weight)))


def clamped_arrays(x: Array, low: Any = None, high: Any = None) -> Array:
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def masked_arrays(x: Any, mask: Any, value: Any) -> Any:
    return np.where(mask, value, x)


def squared(x: Any) -> Any:
    return x * x


def inverted(x: float) -> float:
    return divided(1.0, x)


def inverse_root(x: float) -> float:
    return divided(1.0, root(x))


def inverse_root_arrays(x: Array) -> Array:
    return 1 / np.sqrt(x)


def swished(x: float) -> float:
    """x·σ(x), SiLU."""
    return x / (1 + exponential(-x))


def swished_arrays(x: Array) -> Array:
    return x / (1 + np.exp(-x))  # type: ignore[no-any-return]


def affine(offset: Array, x: Array, weights: Array) -> Array:
    return offset + x @ weights  # type: ignore[no-any-return]


def subtracted_from(a: Any, b: Any) -> Any:
    return b - a


def _plain(ufunc: np.ufunc) -> Callable[..., Array]:
    """As a function, which has a module."""

    def call(*arrays: Array) -> Array:
        return ufunc(*arrays)  # type: ignore[no-any-return]

    return call


_larger, _smaller = _plain(np.maximum), _plain(np.minimum)
ELEMENTWISE: dict[Any, Both] = {
    aten.mul: Both(operator.mul, operator.mul),
    aten.add: Both(operator.add, operator.add),
    aten.sub: Both(operator.sub, operator.sub),
    aten.rsub: Both(subtracted_from, subtracted_from),
    aten.div: Both(divided, operator.truediv),
    aten.neg: Both(operator.neg, operator.neg),
    aten.abs: Both(operator.abs, operator.abs),
    aten.exp: Both(exponential, _plain(np.exp)),
    aten.log: Both(logarithm, _plain(np.log)),
    aten.sqrt: Both(root, _plain(np.sqrt)),
    aten.rsqrt: Both(inverse_root, inverse_root_arrays),
    aten.reciprocal: Both(inverted, _plain(np.reciprocal)),
    aten.square: Both(squared, squared),
    aten.pow: Both(powered, powered_arrays),
    aten.erfc: Both(math.erfc, _plain(special.erfc)),
    aten.maximum: Both(greater, _larger),
    aten.minimum: Both(lesser, _smaller),
    aten.clamp: Both(clamped, clamped_arrays),
    aten.clamp_min: Both(greater, _larger),
    aten.where: Both(chosen, np.where),
    aten.masked_fill: Both(masked, masked_arrays),
    aten.lerp: Both(lerped, lerped_arrays),
    aten.gt: Both(operator.gt, operator.gt),
    aten.ge: Both(operator.ge, operator.ge),
    aten.lt: Both(operator.lt, operator.lt),
    aten.le: Both(operator.le, operator.le),
    aten.eq: Both(operator.eq, operator.eq),
    aten.ne: Both(operator.ne, operator.ne),
    aten.round: Both(rounded, _plain(np.rint)),
    aten.sign: Both(signum, _plain(np.sign)),
    aten.bitwise_and: Both(operator.and_, operator.and_),
    aten.bitwise_or: Both(operator.or_, operator.or_),
    aten.silu: Both(swished, swished_arrays),
    aten.tanh: Both(math.tanh, _plain(np.tanh)),
    aten.logical_not: Both(operator.not_, _plain(np.logical_not)),
}


def _cast(kind: type) -> Both:
    def call(array: Array) -> Array:
        return array.astype(kind)

    return Both(kind, call)


CASTS = {torch.float64: _cast(float), torch.int64: _cast(int), torch.bool: _cast(bool)}


def packed(shape: tuple[int, ...], *numbers: float) -> Array:
    return np.array(numbers).reshape(shape)


def full(array: Array, shape: tuple[int, ...]) -> Array:
    """With all its rows, where one stood for equal ones."""
    made = np.empty(shape, np.asarray(array).dtype)
    made[...] = array
    return made


def reshaped(array: Array, shape: tuple[int, ...]) -> Array:
    return array.reshape(shape)


def listed(array: Array) -> list[Any]:
    return array.ravel().tolist()


def only(array: Array) -> Any:
    return array.item()


def summed(array: Array, axis: tuple[int, ...], kept: bool) -> Array:
    return np.asarray(array.sum(axis=axis, keepdims=kept))


def greatest(array: Array, axis: tuple[int, ...], kept: bool) -> Array:
    return np.asarray(array.max(axis=axis, keepdims=kept))


def least(array: Array, axis: tuple[int, ...], kept: bool) -> Array:
    return np.asarray(array.min(axis=axis, keepdims=kept))


FOLDS = {
    aten.sum: Both(operator.add, summed),
    aten.amax: Both(greater, greatest),
    aten.amin: Both(lesser, least),
}


PRODUCTS: dict[Any, Callable[..., Array]] = {aten.addmm: affine, aten.mm: operator.matmul}


def through_torch(func: Any, args: Any, kwargs: Any) -> Callable[..., Any]:
    """`func` of arrays, in the place of the tensors of `args`."""

    def call(*arrays: Array) -> Any:
        made = func(*_filled(args, iter(arrays)), **kwargs)
        return made.numpy() if isinstance(made, Tensor) else [each.numpy() for each in made]

    return call


def _filled(args: Any, arrays: Iterator[Array]) -> Any:
    if isinstance(args, list | tuple):
        return type(args)(_filled(each, arrays) for each in args)
    return torch.from_numpy(np.array(next(arrays))) if isinstance(args, Tensor) else args
