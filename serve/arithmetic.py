"""PyTorch's elementwise operations on Python's numbers and on NumPy's arrays: the same values, to rounding.

Python's own would raise where IEEE arithmetic has an infinity or no number; these do not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import operator
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


def lerped_arrays(a: Any, b: Any, weight: Any) -> Any:
    return np.where(np.abs(weight) < 0.5, a + weight * (b - a), b - (b - a) * (1 - np.asarray(weight)))


def clamped_arrays(x: Array, low: Any = None, high: Any = None) -> Array:
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def masked_arrays(x: Any, mask: Any, value: Any) -> Array:
    return np.where(mask, value, x)


def squared(x: Any) -> Any:
    return x * x


def inverted(x: float) -> float:
    return divided(1.0, x)


def inverse_root(x: float) -> float:
    return divided(1.0, root(x))


def inverse_root_arrays(x: Array) -> Array:
    return 1 / np.sqrt(x)


def subtracted_from(a: Any, b: Any) -> Any:
    return b - a


ELEMENTWISE: dict[Any, Both] = {
    aten.mul: Both(operator.mul, np.multiply),
    aten.add: Both(operator.add, np.add),
    aten.sub: Both(operator.sub, np.subtract),
    aten.rsub: Both(subtracted_from, subtracted_from),
    aten.div: Both(divided, np.true_divide),
    aten.neg: Both(operator.neg, np.negative),
    aten.abs: Both(abs, np.abs),
    aten.exp: Both(exponential, np.exp),
    aten.log: Both(logarithm, np.log),
    aten.sqrt: Both(root, np.sqrt),
    aten.rsqrt: Both(inverse_root, inverse_root_arrays),
    aten.reciprocal: Both(inverted, np.reciprocal),
    aten.square: Both(squared, squared),
    aten.pow: Both(powered, np.power),
    aten.erfc: Both(math.erfc, special.erfc),
    aten.maximum: Both(greater, np.maximum),
    aten.minimum: Both(lesser, np.minimum),
    aten.clamp: Both(clamped, clamped_arrays),
    aten.clamp_min: Both(greater, np.maximum),
    aten.where: Both(chosen, np.where),
    aten.masked_fill: Both(masked, masked_arrays),
    aten.lerp: Both(lerped, lerped_arrays),
    aten.gt: Both(operator.gt, np.greater),
    aten.ge: Both(operator.ge, np.greater_equal),
    aten.lt: Both(operator.lt, np.less),
    aten.le: Both(operator.le, np.less_equal),
    aten.eq: Both(operator.eq, np.equal),
    aten.ne: Both(operator.ne, np.not_equal),
    aten.round: Both(rounded, np.rint),
    aten.sign: Both(signum, np.sign),
    aten.logical_not: Both(operator.not_, np.logical_not),
}
CASTS = {torch.float64: Both(float, np.float64), torch.int64: Both(int, np.int64), torch.bool: Both(bool, np.bool_)}


def packed(shape: Sequence[int], numbers: Sequence[float]) -> Array:
    return np.array(numbers).reshape(shape)


def spread(array: Array, shape: Sequence[int]) -> Array:
    """In full, where it stood for equal rows."""
    return np.broadcast_to(array, shape)


def listed(array: Array) -> list[Any]:
    return array.ravel().tolist()  # type: ignore[no-any-return]


def summed(array: Array, axis: Any, kept: bool) -> Array:
    return np.add.reduce(array, axis=axis, keepdims=kept)  # type: ignore[no-any-return]


def through_torch(call: Callable[..., Any], *constants: Any) -> Callable[..., Any]:
    """What has no rule here: PyTorch's own, on arrays."""
    raise NotImplementedError(call, constants)


def tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
