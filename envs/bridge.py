"""Lowest and highest price inside a bar of which only the ends were drawn: extremes of a Brownian bridge."""

from __future__ import annotations

import torch
from torch import Tensor


def extremes(before: Tensor, after: Tensor, variance: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """(low, high) of a price that went from `before` to `after`, all of one shape, with log variance `variance`.

    `uniform` (2, *shape) in [0, 1). For r = ln(after/before) the bridge's minimum m ≤ min(0, r) of the log price has
    P(minimum ≤ m) = exp(−2m(m − r)/variance), by reflection (Karatzas and Shreve 1991, p. 265), which inverts to
    m = (r − √(r² − 2·variance·ln U))/2; the maximum is its mirror image. Each has its exact law; their dependence on
    each other, given the ends, is left out.
    """
    log_return = torch.log(after / before)
    root = (log_return.square() - 2 * variance * torch.log1p(-uniform)).sqrt()
    low = before * torch.exp((log_return - root[0]) / 2)
    high = before * torch.exp((log_return + root[1]) / 2)
    return torch.minimum(low, torch.minimum(before, after)), torch.maximum(high, torch.maximum(before, after))
