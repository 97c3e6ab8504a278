"""Regime-switching GARCH with truncated Student-t shocks and liquidation cascades.

Haas, Mittnik and Paolella (2004), J. Financial Econometrics 2, 493. Shocks are bounded and re-standardised, and each
bar's drift makes E[S'/S] = 1 exactly, given the hidden state: an unbounded Student-t on log returns has no expected
price.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Generator, Tensor

from envs import funding, marks, shocks
from envs.calibration import Calibration
from envs.types import Quote, taken
from envs.volatility import garch, regimes
from envs.volatility.memory import Filter, Memory

ATOMS = 1 << 16  # equally likely values of the shock
CURVE = 512  # points of the table of ln E[e^(σz)]
BURN_IN = 1500  # bars until the starting state is forgotten
CHAINS = 16384  # distinct starting states kept for many paths


@dataclass(frozen=True)
class State:
    """Hidden from every agent; never leaves this file but to come back."""

    spot: Tensor  # (P,)
    regime: Tensor  # (P,) of the next bar, int64
    variance: Tensor  # (P, K) of the next bar under each regime, per year
    premium: Tensor  # (P,) of the perpetual over its index, per 8 hours


class GarchMarket:
    """One asset and its perpetual; the cascade hazard and the marks follow what `Memory` holds, which is public."""

    def __init__(
        self, calibration: Calibration, filter: Filter, generator: Generator, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.calibration, self.filter, self.generator = calibration, filter, generator
        self.bar = filter.bar
        self.regimes = garch.RegimeTensors.of(calibration.regimes, dtype, device)
        self.upper = self.regimes.transition.cumsum(-1)[:, :-1]  # (K, K-1) switching thresholds
        self.atoms = shock_atoms(calibration.regimes.degrees_of_freedom, calibration.regimes.truncation).to(
            device=device, dtype=dtype
        )
        self.widest, self.curve = _log_mean_exp_curve(self.atoms)
        self.fall_factor = shocks.mean_factor(calibration.shocks)

    def initial(self, paths: int) -> tuple[State, Memory]:
        """States drawn from the stationary law, with filters that have already forgotten their start."""
        chains = min(paths, CHAINS)
        state, memory = self._cold(chains), self.filter.initial(chains)
        for _ in range(BURN_IN):
            state, memory, _ = self.step(state, memory)
        if paths == chains:
            return state, memory
        pick = torch.randint(chains, (paths,), generator=self.generator, device=self.atoms.device)
        return taken(state, pick), taken(memory, pick)

    def step(self, state: State, memory: Memory) -> tuple[State, Memory, Quote]:
        """One bar on: the new hidden state, the memory that has seen the bar, and the quote at its end."""
        variance = state.variance.gather(-1, state.regime[:, None])[:, 0]
        log_return = self._diffusion(variance) + self._cascade(memory)
        after = State(
            spot=state.spot * log_return.exp(),
            regime=self._switched(state.regime),
            variance=garch.next_variance(self.regimes, state.variance, log_return, self.bar),
            premium=funding.next_premium(
                self.calibration.funding, state.premium, self._normal(state.premium), self.bar
            ),
        )
        memory = self.filter.update(memory, torch.log(after.spot / state.spot))
        return after, memory, self.quote(after, memory)

    def quote(self, state: State, memory: Memory) -> Quote:
        rate = funding.funding_rate(state.premium)
        mark = state.spot * (1 + state.premium)
        return marks.quote(self.calibration, self.filter, memory, state.spot, mark, rate)

    def _cold(self, paths: int) -> State:
        stationary = regimes.stationary(self.regimes.transition)
        regime = torch.multinomial(stationary.expand(paths, -1), 1, generator=self.generator)[:, 0]
        variance = self.filter.start_variance.expand(paths, len(stationary))
        spot = variance.new_ones(paths)
        return State(spot, regime, variance, funding.stationary_premium(self.calibration.funding, self._normal(spot)))

    def _diffusion(self, variance: Tensor) -> Tensor:
        """√(h·dt)·z less ln E[e^(√(h·dt)·z)], from a table linear in the deviation's square."""
        deviation = (variance * self.bar).sqrt()
        draw = torch.randint(len(self.atoms), variance.shape, generator=self.generator, device=variance.device)
        place = (variance * (self.bar / self.widest**2) * (CURVE - 1)).clamp(max=CURVE - 1 - 1e-3)
        left = place.floor()
        index = left.to(torch.int64)
        level = torch.lerp(self.curve[index], self.curve[index + 1], place - left)
        return deviation * self.atoms[draw] - deviation.square() * level

    def _cascade(self, memory: Memory) -> Tensor:
        """−J in a bar with a cascade, else 0, less ln E of its exponential."""
        chance = shocks.probability(self.calibration.shocks, memory.excitement, self.bar)
        uniform = torch.rand(2, len(chance), generator=self.generator, device=chance.device, dtype=chance.dtype)
        fall = torch.where(uniform[0] < chance, shocks.sizes(self.calibration.shocks, uniform[1]), 0.0)
        return -fall - torch.log1p(chance * (self.fall_factor - 1))

    def _switched(self, regime: Tensor) -> Tensor:
        uniform = torch.rand(len(regime), 1, generator=self.generator, device=regime.device)
        return (uniform > self.upper[regime]).sum(-1)

    def _normal(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator, device=like.device, dtype=like.dtype)


def shock_atoms(degrees_of_freedom: float, truncation: float) -> Tensor:
    """Equally likely values (ATOMS,) of a Student-t cut at ±truncation standard deviations.

    Then of unit variance; float64.
    """
    law = stats.t(degrees_of_freedom, scale=np.sqrt((degrees_of_freedom - 2) / degrees_of_freedom))
    inside = law.cdf(truncation) - law.cdf(-truncation)
    middle = (np.arange(ATOMS // 2) + 0.5) / ATOMS
    upper = -law.ppf(law.cdf(-truncation) + middle * inside)
    atoms = np.concatenate([-upper, upper[::-1]])
    return torch.from_numpy(atoms / atoms.std())


def _log_mean_exp_curve(atoms: Tensor) -> tuple[float, Tensor]:
    """The widest deviation that the table holds, and ln E[e^(sz)]/s² at CURVE values of s² from 0 to its square."""
    widest = min(1.0, 30 / float(atoms.max()))
    squares = torch.linspace(0, widest**2, CURVE, dtype=torch.float64, device="cpu")
    exact = atoms.to(device="cpu", dtype=torch.float64)
    rows = [torch.logsumexp(s.sqrt() * exact, 0) - np.log(ATOMS) for s in squares[1:]]
    curve = torch.stack(rows) / squares[1:]
    return widest, torch.cat([torch.tensor([0.5], dtype=torch.float64), curve]).to(atoms)
