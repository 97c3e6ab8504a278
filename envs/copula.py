"""The randomness of a bar of one asset, or of several that hang together by a Gaussian copula."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from envs import noise

ROUNDING = 1e-9  # of a correlation, as it was written down
SHARED = 0.97  # of what tells assets apart in their shocks, and not in their cascades and regimes


@dataclass(frozen=True)
class Draw:
    """The randomness of one asset's bar; each (P,)."""

    atom: Tensor  # int32, the shock's rank among equally likely ones, lowest first
    cascade: Tensor  # uniform in (0, 1), as the next three
    switch: Tensor  # change of regime
    low: Tensor
    high: Tensor
    premium: Tensor  # standard normal: of funding
    implied: Tensor  # standard normal: of implied volatility


def drawn(paths: int, bits: int, generator: Generator, dtype: torch.dtype) -> Draw:
    """Of one asset that has nothing to do with others; ranks below 2^bits."""
    words = noise.words(7, paths, generator)
    cascade, switch, low, high, radius, angle = noise.uniform(words[1:], dtype).unbind()
    return Draw(noise.ranks(words[0], bits), cascade, switch, low, high, *noise.normal_pair(radius, angle))


def coupled(paths: int, bits: int, generator: Generator, own: Tensor, shared: Tensor) -> list[Draw]:
    """Normals, of correlation `own`ᵀ·`own` (A, A) for shocks and premia and `shared`ᵀ·`shared` for events.

    Events are cascades and changes of regime. Turned to uniforms and ranks where those are asked for.
    """
    assets, device, dtype = len(own), own.device, own.dtype
    normal = torch.randn(5, paths, assets, generator=generator, device=device, dtype=dtype)
    events = torch.special.ndtr(_by_asset(normal[:2] @ shared)).clamp(max=1 - torch.finfo(dtype).eps)
    shock, *premia = _by_asset(normal[2:] @ own)
    extremes = torch.rand(2, assets, paths, generator=generator, device=device, dtype=dtype)
    rank = torch.special.ndtr(shock).mul(1 << bits).clamp(max=(1 << bits) - 1).to(torch.int32)
    return [Draw(*one) for one in zip(rank, *events, *extremes, *premia, strict=True)]


def _by_asset(values: Tensor) -> Tensor:
    """(n, A, P) in memory, of (n, P, A)."""
    return values.transpose(-1, -2).contiguous()


def roots(correlation: tuple[tuple[float, ...], ...], like: Tensor) -> tuple[Tensor, Tensor]:
    """What `coupled` mixes normals by: for shocks of `correlation` (A, A), and for events, which assets share more."""
    own = np.array(correlation)
    shared = (1 - SHARED) * own + SHARED
    first, second = (torch.from_numpy(np.linalg.cholesky(matrix).T).to(like) for matrix in (own, shared))
    return first, second


def check(correlation: tuple[tuple[float, ...], ...], assets: int) -> None:
    """Raises ValueError, one line, where `correlation` is not that of `assets` returns."""
    if len(correlation) != assets or any(len(row) != assets for row in correlation):
        raise ValueError(f"correlation must have {assets} rows of {assets} entries; give one per asset")
    matrix = np.array(correlation)
    if max(np.abs(matrix - matrix.T).max(), np.abs(matrix.diagonal() - 1).max()) > ROUNDING:
        raise ValueError("correlation must be symmetric with ones on its diagonal; mend its entries")
    if np.linalg.eigvalsh(matrix).min() <= ROUNDING:
        raise ValueError("correlation is not positive definite; bring its entries nearer to 0")
