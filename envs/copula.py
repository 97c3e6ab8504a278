"""The randomness of a bar of several assets that hang together by a Gaussian copula."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

SHARED = 0.97  # of what tells assets apart in their shocks, and not in their cascades and regimes


@dataclass(frozen=True)
class Draw:
    """The randomness of one asset's bar."""

    atom: Tensor  # (P,) int64, the shock's rank among equally likely ones, lowest first
    uniform: Tensor  # (4, P): cascade, change of regime, low, high
    normal: Tensor  # (2, P): funding premium, implied volatility


def drawn(paths: int, atoms: int, generator: Generator, like: Tensor) -> Draw:
    """Of one asset that has nothing to do with others; ranks among `atoms`, the rest of the dtype of `like`."""
    device, dtype = like.device, like.dtype
    return Draw(
        atom=torch.randint(atoms, (paths,), generator=generator, device=device),
        uniform=torch.rand(4, paths, generator=generator, device=device, dtype=dtype),
        normal=torch.randn(2, paths, generator=generator, device=device, dtype=dtype),
    )


def coupled(paths: int, atoms: int, generator: Generator, own: Tensor, shared: Tensor) -> list[Draw]:
    """Normals, of correlation `own`ᵀ·`own` (A, A) for shocks and premia and `shared`ᵀ·`shared` for events.

    Events are cascades and changes of regime. Turned to uniforms and ranks where those are asked for.
    """
    assets, device, dtype = len(own), own.device, own.dtype
    normal = torch.randn(5, paths, assets, generator=generator, device=device, dtype=dtype)
    events = torch.special.ndtr(normal[:2] @ shared).clamp(max=1 - torch.finfo(dtype).eps)
    extremes = torch.rand(assets, 2, paths, generator=generator, device=device, dtype=dtype)
    normal = normal[2:] @ own
    rank = torch.special.ndtr(normal[0]).mul(atoms).clamp(max=atoms - 1).to(torch.int64)
    return [
        Draw(rank[:, a], torch.cat([events[:, :, a], extremes[a]]), normal[1:, :, a].contiguous())
        for a in range(assets)
    ]


def roots(correlation: tuple[tuple[float, ...], ...], like: Tensor) -> tuple[Tensor, Tensor]:
    """What `coupled` mixes normals by: for shocks of `correlation` (A, A), and for events, which assets share more."""
    own = np.array(correlation)
    shared = (1 - SHARED) * own + SHARED
    first, second = (torch.from_numpy(np.linalg.cholesky(matrix).T).to(like) for matrix in (own, shared))
    return first, second


def check(matrix: NDArray[np.float64], assets: int) -> None:
    if matrix.shape != (assets, assets):
        raise ValueError(f"correlation is {'×'.join(map(str, matrix.shape))}; give {assets}×{assets}, a row per asset")
    if not (np.allclose(matrix, matrix.T) and np.allclose(np.diag(matrix), 1)):
        raise ValueError("correlation must be symmetric with ones on its diagonal")
    if np.linalg.eigvalsh(matrix).min() <= 0:
        raise ValueError("correlation is not positive definite; lower its largest entries")
