"""EGARCH(1,1) of Nelson (1991), Econometrica 59, 347, with Student-t shocks, for a batch of markets at once.

ln h' = ω + α·(|z| − √(2/π)) + leverage·z + β·ln h, where h is variance per year and z = r/√(h·dt) is cut at
±truncation. The constant √(2/π), E|z| of a normal, is kept for Student shocks too, as is usual: another would only
move ω. Of an unbounded Student-t E[exp(α|z|)] does not exist for any α > 0, and so no forecast of h beyond the next
bar does; the cut law has one, in closed form but for one integral.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import t as student
from torch import Tensor

from envs.types import BadInput

Array = NDArray[np.float64]

CENTRE = math.sqrt(2 / math.pi)
NODES = 200  # of Gauss and Legendre's rule over half of the shock's law
FLOOR = 1e-6  # variance per year (0.1 % a year), the least that the table of forecasts holds
LEVELS = 1024  # of ln h in that table


@dataclass(frozen=True)
class Egarch:
    """The parameters. Raises BadInput where no forecast exists or the variance never settles."""

    omega: float  # of ln(variance per year), per bar
    alpha: float
    leverage: float  # negative: falls raise the variance
    beta: float
    degrees_of_freedom: float  # of the Student-t, standardised to unit variance
    truncation: float  # |shock| bound in standard deviations, before the cut law is re-standardised
    ceiling: float = 400.0  # variance per year that is never exceeded

    def __post_init__(self) -> None:
        if not 0 <= self.beta < 1:
            raise BadInput(
                f"egarch: beta {self.beta:g} is outside [0, 1); ln h would never settle, fit a longer window"
            )
        if not self.degrees_of_freedom > 2:
            raise BadInput(
                f"egarch: degrees_of_freedom {self.degrees_of_freedom:g} leaves no variance; give more than 2"
            )
        if not 0 < self.truncation < math.inf:
            raise BadInput(f"egarch: truncation {self.truncation:g} must be positive and finite, or no forecast exists")


def next_variance(model: Egarch, variance: Tensor, log_return: Tensor, dt: float) -> Tensor:
    """(P,) variance per year of the bar after one of `dt` years and `variance` (P,) that returned `log_return` (P,)."""
    shock = (log_return / (variance * dt).sqrt()).clamp(-model.truncation, model.truncation)
    news = model.alpha * (shock.abs() - CENTRE) + model.leverage * shock
    return (model.omega + news + model.beta * variance.log()).exp().clamp(max=model.ceiling)


def log_density(model: Egarch, variance: Tensor, log_return: Tensor, dt: float) -> Tensor:
    """(P,) log-density of `log_return` (P,) over `dt` years at `variance` (P,) per year.

    Student-t standardised to variance h·dt (Bollerslev 1987), over the whole line: not truncated.
    """
    freedom = model.degrees_of_freedom
    constant = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(math.pi * (freedom - 2) * dt) / 2
    tail = (log_return.square() / (dt * (freedom - 2)) / variance).log1p()
    return constant - torch.add(variance.log(), tail, alpha=freedom + 1) / 2


def log_growth(model: Egarch, power: NDArray[np.floating[Any]]) -> Array:
    """ln E[exp(u·(ω + α·(|z| − √(2/π)) + leverage·z))] at each u of `power` (m,), z of the cut law; float64.

    By Gauss and Legendre's rule in asinh z, where the Student-t's peak and tails are both smooth.
    """
    shock, weight = _half_law(model.degrees_of_freedom, model.truncation)
    up, down = (power[:, None] * (model.alpha + sign * model.leverage) * shock for sign in (1, -1))
    mean = logsumexp(np.logaddexp(up, down), axis=1, b=weight / 2)
    return np.asarray(mean + power * (model.omega - model.alpha * CENTRE))


def mean_log_variance(model: Egarch) -> float:
    """Long-run mean of ln(variance per year): (ω + α·(E|z| − √(2/π)))/(1 − β)."""
    shock, weight = _half_law(model.degrees_of_freedom, model.truncation)
    return float((model.omega + model.alpha * (shock @ weight - CENTRE)) / (1 - model.beta))


def stationary_variance(model: Egarch) -> float:
    """Long-run mean variance per year, without the ceiling: the product of the growth at 1, β, β², … (Nelson 1991)."""
    bars = 1 if model.beta == 0 else math.ceil(math.log(1e-18) / math.log(model.beta))
    return math.exp(float(log_growth(model, model.beta ** np.arange(bars)).sum()))


def expected_variance(model: Egarch, variance: Tensor, horizon: int) -> Tensor:
    """(P, horizon) expected variance per year of each of the next bars, given the next one's own `variance` (P,).

    E[h_m] = h^(β^(m−1))·Π_{i<m−1} E[exp(β^i·(ln h' − β·ln h))], exact but for the ceiling, which is ignored.
    """
    power = model.beta ** np.arange(horizon)
    grown = np.concatenate([[0.0], log_growth(model, power[:-1]).cumsum()])
    exponent, level = (torch.from_numpy(values).to(variance) for values in (power, grown))
    return torch.exp(torch.log(variance)[:, None] * exponent + level)


class Filter:
    """EGARCH's variance, advanced once a bar by past returns alone, for P markets at once."""

    def __init__(
        self, model: Egarch, start_variance: float, bar: float, dtype: torch.dtype, device: torch.device, horizon: int
    ) -> None:
        """`bar`: years; `start_variance`: per year, of the first bar; `horizon`: the longest forecast, in bars."""
        self.model, self.bar = model, bar
        self.start_variance = torch.tensor(start_variance, dtype=dtype, device=device)
        grid = torch.linspace(math.log(FLOOR), math.log(model.ceiling), LEVELS, dtype=torch.float64)
        self.lowest, self.spacing = float(grid[0]), float(grid[1] - grid[0])
        self.table = _log_term_variance(model, grid, horizon).to(self.start_variance)

    def initial(self, paths: int) -> Tensor:
        """(P,) what a filter that has seen nothing remembers: the variance of the next bar, per year."""
        return self.start_variance.repeat(paths)

    def update(self, memory: Tensor, log_return: Tensor) -> Tensor:
        """After one more bar's `log_return` (P,)."""
        return next_variance(self.model, memory, log_return, self.bar)

    def spot_variance(self, memory: Tensor) -> Tensor:
        """Variance of the next bar, per year, (P,)."""
        return memory

    def term_variance(self, memory: Tensor, bars: Tensor) -> Tensor:
        """Expected variance, per year, averaged over the next `bars` (P,) int64 (≥ 1); (P,).

        `expected_variance`'s average off a table in ln h. Its logarithm bends by less than 1/4 per unit of ln h, so
        between two levels it is out by less than spacing²/32, a relative 1.2e-5.
        """
        place = ((memory.log() - self.lowest) / self.spacing).clamp(0, LEVELS - 1 - 1e-3)
        left = place.floor()
        index = left.to(torch.int64)
        return torch.lerp(self.table[index, bars], self.table[index + 1, bars], place - left).exp()


@cache
def _half_law(freedom: float, truncation: float) -> tuple[Array, Array]:
    """Values of the recursion's |z| (NODES + 1,) and their weights, which sum to 1.

    The shock is a Student-t cut at ±truncation and brought to unit variance; what that pushes past the truncation, the
    recursion cuts again, and its chance is the last weight.
    """
    shock, weight = _rule(freedom, truncation)
    deviation = math.sqrt(shock**2 @ weight / weight.sum())
    inside, chance = _rule(freedom, truncation * deviation)
    chance /= weight.sum()
    return np.append(inside / deviation, truncation), np.append(chance, 1 - chance.sum())


def _rule(freedom: float, end: float) -> tuple[Array, Array]:
    """Nodes and weights, both (NODES,), of ∫f(z)·2·density(z)dz from 0 to `end` under a Student-t of unit variance."""
    node, weight = np.polynomial.legendre.leggauss(NODES)
    half = math.asinh(end) / 2
    place, unit = (node + 1) * half, math.sqrt(freedom / (freedom - 2))
    shock = np.sinh(place)
    return shock, weight * half * 2 * unit * student.pdf(shock * unit, freedom) * np.cosh(place)


def _log_term_variance(model: Egarch, log_variance: Tensor, horizon: int) -> Tensor:
    """(n, horizon + 1) log of the mean of `expected_variance` over the next m bars, m the column; column 0 is ln h."""
    expected = expected_variance(model, log_variance.exp(), horizon)
    average = expected.cumsum(-1) / torch.arange(1, horizon + 1, dtype=expected.dtype)
    return torch.cat([log_variance[:, None], average.log()], dim=-1)
