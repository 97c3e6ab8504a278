"""Regime-switching GARCH of Haas, Mittnik and Paolella (2004): Hamilton's filter, stationarity, exact forecasts.

Conventions: predicted probabilities p (P, K) are of the next bar's regime, variances h (P, K) each regime's for that
bar; the joint state is q[j, k] = E(1[regime of the bar is j]·h_k), which at the time of the forecast is p_j·h_k.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from envs.types import BadInput
from envs.volatility.garch import RegimeTensors, columns


def update(regimes: RegimeTensors, predicted: Tensor, log_density: Tensor) -> tuple[Tensor, Tensor]:
    """(filtered, predicted'), both (P, K): regime probabilities of the bar just seen, and of the bar after it.

    Hamilton (1989): filtered ∝ predicted·exp(log_density) (P, K). The likeliest regime that may be sets the scale, so
    that no density under- or overflows. Laid out in memory regime by regime, as `garch.columns` has it.
    """
    prior, log_likelihood = columns(predicted), columns(log_density)
    top = log_likelihood.masked_fill(prior <= 0, -math.inf).amax(0)
    weight = prior * (log_likelihood - top).clamp(max=0).exp()
    filtered = weight / weight.sum(0)
    return filtered.T, (regimes.transition.T @ filtered).T


def stationary(transition: Tensor) -> Tensor:
    """(K,) stationary probabilities of `transition` (K, K), solving (I − Tᵀ + 11ᵀ)·π = 1.

    Raises BadInput where they are not unique.
    """
    ones = torch.ones_like(transition)
    system = torch.eye(len(transition), dtype=transition.dtype, device=transition.device) - transition.T + ones
    if int(torch.linalg.matrix_rank(system)) < len(transition):
        raise BadInput("transition: some regimes cannot be left; give every regime a way into the others")
    solution: Tensor = torch.linalg.solve(system, ones[0])
    return solution


def spectral_radius(regimes: RegimeTensors) -> float:
    """Largest |eigenvalue| of Haas's stationarity matrix; the variance is stationary where it is below 1."""
    return float(torch.linalg.eigvals(_persistence(regimes)).abs().max())


def joint_variance(regimes: RegimeTensors) -> Tensor:
    """(K, K) stationary q[j, k] = E(1[regime is j]·h_k), without the news cap.

    q[k, k] over the regime's probability is the mean variance while in it. Raises BadInput if not stationary.
    """
    if (radius := spectral_radius(regimes)) >= 1:
        raise BadInput(f"regimes: spectral radius {radius:.6f} is not below 1; lower alpha, leverage or beta")
    matrix = _persistence(regimes)
    source = torch.outer(stationary(regimes.transition), regimes.omega).flatten()
    identity = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    joint: Tensor = torch.linalg.solve(identity - matrix, source)
    return joint.reshape(regimes.transition.shape)


def stationary_variance(regimes: RegimeTensors) -> float:
    """Long-run mean variance per year of a bar, without the news cap. Raises BadInput if not stationary."""
    return float(joint_variance(regimes).diagonal().sum())


def forecast_weights(regimes: RegimeTensors, horizon: int) -> Tensor:
    """(horizon + 1, K·K + K) table W: x·W[m] is the mean over the next m bars of their expected variance per year.

    x (P, K·K + K) is [p_j·h_k for all j, k (k fastest), p_j for all j]. W[0] is the limit: the next bar's own variance.
    Exact but for the news cap, which is ignored.
    """
    exact = regimes.double()
    count = len(exact.omega)
    step = torch.zeros(count * count + count, count * count + count, dtype=torch.float64)
    step[: count * count, : count * count] = _persistence(exact)
    step[: count * count, count * count :] = torch.einsum("jl,k->lkj", exact.transition, exact.omega).flatten(0, 1)
    step[count * count :, count * count :] = exact.transition.T
    row = torch.cat([torch.eye(count, dtype=torch.float64).flatten(), torch.zeros(count, dtype=torch.float64)])
    rows = [row]
    for _ in range(horizon - 1):
        rows.append(rows[-1] @ step)
    bars = torch.arange(1, len(rows) + 1, dtype=torch.float64).unsqueeze(-1)
    table = torch.cat([row.unsqueeze(0), torch.stack(rows).cumsum(0) / bars])[: horizon + 1]
    return table.to(regimes.omega)


def _persistence(regimes: RegimeTensors) -> Tensor:
    """(K·K, K·K) matrix of q'[l, k] = Σ_j T[j, l]·((α_k + leverage_k/2)·q[j, j] + β_k·q[j, k]), q flat, k fastest."""
    identity = torch.eye(len(regimes.omega), dtype=regimes.omega.dtype, device=regimes.omega.device)
    slope = regimes.alpha + regimes.leverage / 2
    carried = torch.einsum("jl,km,k->lkjm", regimes.transition, identity, regimes.beta)
    learned = torch.einsum("jl,jm,k->lkjm", regimes.transition, identity, slope)
    return (carried + learned).flatten(2).flatten(0, 1)
