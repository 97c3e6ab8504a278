"""Regime-switching GARCH with truncated Student-t shocks and liquidation cascades, for several correlated assets.

Haas, Mittnik and Paolella (2004), J. Financial Econometrics 2, 493. Shocks are bounded and re-standardised, and each
bar's drift makes E[S'/S] = 1 exactly, given the hidden state: an unbounded Student-t on log returns has no expected
price. Assets hang together by a Gaussian copula on each bar's shock, cascade and change of regime.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy import stats
from torch import Generator, Tensor

from envs import copula, funding, marks, shocks
from envs.calibration import Calibration, Finite, Range, Section
from envs.copula import Draw
from envs.surface import ForecastSurface, next_level
from envs.types import BadInput, Quote, polynomial
from envs.volatility.memory import Filter, Memory

RANK_BITS = 16
ATOMS = 1 << RANK_BITS  # equally likely values of the shock
KNOTS, CURVE = 512, 1 << 14  # points where E[e^J] of a cascade's move J is worked out, and of its table
LEVEL_DEGREE = 12  # of the polynomial of ln E[e^(sz)]/s² less than that
LEVEL_ERROR = 1e-10  # of a bar's ln E[e^(sz)]
BURN_IN = 1500  # bars until the starting state is forgotten
RAREST = 1e-3  # of a bar's extremes: bounds how far they reach


@dataclass(frozen=True)
class State:
    """Hidden from every agent; never leaves this file but to come back. A assets."""

    spot: Tensor  # (P, A)
    low: Tensor  # (P, A) of the bar that ended
    high: Tensor  # (P, A)
    regime: Tensor  # (P, A) of the next bar, int64
    premium: Tensor  # (P, A) of the perpetual over its index, per 8 hours
    implied: Tensor  # (P, A) log of the 30-day implied volatility


class GarchMarket:
    """Assets and their perpetuals; cascade hazard, variances and marks follow what `Memory` holds, which is public."""

    drift = 0.0  # of the forward, per year
    renewed = False  # it goes on from one episode to the next

    class Settings(Section):
        """`correlation` (A, A) of the Gaussian copula; None: independent assets."""

        assets: tuple[Calibration, ...] = Field(min_length=1)
        correlation: tuple[tuple[Finite, ...], ...] | None = None
        venue: str = "binance"  # whose formula makes funding of the premium

        @model_validator(mode="after")
        def _consistent(self) -> Self:
            if len({asset.source.bar_hours for asset in self.assets}) > 1:
                raise ValueError("the assets were calibrated on bars of different lengths; calibrate them on one")
            if self.venue not in funding.VENUES:
                raise ValueError(f"venue {self.venue!r} is unknown; use one of {', '.join(funding.VENUES)}")
            if self.correlation is not None:
                copula.check(self.correlation, len(self.assets))
            return self

    def __init__(
        self,
        settings: GarchMarket.Settings,
        horizon: int,
        generator: Generator,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        """`horizon`: the longest forecast asked of the filters, in bars."""
        self.calibrations, self.generator, self.venue = settings.assets, generator, settings.venue
        self.filters = tuple(Filter(asset, dtype, device, horizon) for asset in settings.assets)
        self.surfaces = tuple(ForecastSurface(*pair) for pair in zip(settings.assets, self.filters, strict=True))
        self.laws = tuple(_Law(*pair) for pair in zip(settings.assets, self.filters, strict=True))
        self.mixes = None
        if settings.correlation is not None and len(settings.assets) > 1:
            self.mixes = copula.roots(settings.correlation, self.filters[0].start_variance)

    def initial(self, paths: int) -> tuple[State, tuple[Memory, ...]]:
        """States drawn from the stationary law, with filters that have already forgotten their start."""
        state, memories = self._cold(paths)
        for _ in range(BURN_IN):
            state, memories = self._advanced(state, memories)
        return state, memories

    def step(self, state: State, memories: tuple[Memory, ...]) -> tuple[State, tuple[Memory, ...], tuple[Quote, ...]]:
        """One bar on: the new hidden state, the memories that have seen the bar, and the quotes at its end."""
        state, memories = self._advanced(state, memories)
        return state, memories, self.quote(state, memories)

    def quote(self, state: State, memories: tuple[Memory, ...]) -> tuple[Quote, ...]:
        return marks.quotes(
            self.calibrations,
            self.filters,
            memories,
            spot=state.spot,
            low=state.low,
            high=state.high,
            mark=state.spot * (1 + state.premium),
            funding_rate=funding.funding_rate(state.premium, self.venue),
            implied_volatility=state.implied.exp(),
        )

    def _advanced(self, state: State, memories: tuple[Memory, ...]) -> tuple[State, tuple[Memory, ...]]:
        parts = zip(self.laws, memories, self._draws(len(state.spot)), strict=True)
        stepped = [law.step(_column(state, a), memory, draw) for a, (law, memory, draw) in enumerate(parts)]
        return _joined([after for after, _ in stepped]), tuple(memory for _, memory in stepped)

    def _cold(self, paths: int) -> tuple[State, tuple[Memory, ...]]:
        memories = tuple(filter.initial(paths) for filter in self.filters)
        drawn = zip(self.laws, memories, self._draws(paths), strict=True)
        return _joined([law.cold(memory, draw) for law, memory, draw in drawn]), memories

    def _draws(self, paths: int) -> list[Draw]:
        """One per asset: each uniform or normal by itself, joined across the assets by the copula."""
        if self.mixes is None:
            dtype = self.filters[0].start_variance.dtype
            return [copula.drawn(paths, RANK_BITS, self.generator, dtype) for _ in self.laws]
        return copula.coupled(paths, RANK_BITS, self.generator, *self.mixes)


class _Law:
    """How one asset moves on in a bar; its State has fields (P,)."""

    def __init__(self, calibration: Calibration, filter: Filter) -> None:
        self.calibration, self.filter, self.bar = calibration, filter, filter.bar
        self.widest = math.sqrt(calibration.regimes.ceiling * self.bar)
        upper = filter.regimes.transition.cumsum(-1).T.contiguous()
        self.upper = upper[:-1]  # (K-1, K) switching thresholds, a column for each regime to leave

    @cached_property
    def moves(self) -> Tensor:
        """(2·ATOMS,) in standard deviations, by rank: of an ordinary shock, and then of a cascade."""
        rank = (torch.arange(ATOMS, dtype=torch.float64, device="cpu") + 0.5) / ATOMS
        table = torch.cat([self._atoms, shocks.sizes(self.calibration.shocks, rank)])
        return table.to(self.filter.start_variance)

    @cached_property
    def level(self) -> list[float]:
        """Coefficients in s², lowest first, of ln E[e^(sz)]/s² of an ordinary shock z, s up to `widest`."""
        return _level(self._atoms, self.widest)

    @cached_property
    def excess(self) -> Tensor:
        """(CURVE,) E[e^J] − 1 of a cascade's move, at deviations from 0 to `widest`; linear between KNOTS."""
        knots = torch.linspace(0, self.widest, KNOTS, dtype=torch.float64, device="cpu")
        exact = shocks.mean_factor(self.calibration.shocks, knots) - 1
        between = np.interp(np.linspace(0, self.widest, CURVE), knots.numpy(), exact.numpy())
        return torch.from_numpy(between).to(self.filter.start_variance)

    @cached_property
    def _atoms(self) -> Tensor:
        law = self.calibration.regimes
        return shock_atoms(law.degrees_of_freedom, law.truncation)

    def cold(self, memory: Memory, draw: Draw) -> State:
        """At a price of 1 and its stationary law, but for the variances, which a burn-in brings about."""
        regime = torch.bucketize(draw.switch, self.filter.stationary.cumsum(-1)[:-1])
        premium = funding.stationary_premium(self.calibration.funding, draw.premium)
        spot = torch.ones_like(premium)
        return State(spot, spot, spot, regime, premium, self._usual_level(memory))

    def step(self, state: State, memory: Memory, draw: Draw) -> tuple[State, Memory]:
        variance = memory.variance.gather(-1, state.regime[:, None])[:, 0] * self.bar
        log_return = self._log_return(variance, memory, draw)
        spot = state.spot * log_return.exp()
        low, high = _extremes(self.calibration.range, log_return, variance, draw.low, draw.high)
        seen = self.filter.update(memory, torch.log(spot / state.spot))
        implied = next_level(
            self.calibration.surface,
            state.implied,
            self._usual_level(seen),
            log_return * variance.rsqrt(),
            draw.implied,
            self.bar,
        )
        after = State(
            spot=spot,
            low=torch.minimum(state.spot * (-low).exp(), spot),
            high=torch.maximum(state.spot * high.exp(), spot),
            regime=self._switched(state.regime, draw.switch),
            premium=funding.next_premium(self.calibration.funding, state.premium, draw.premium, self.bar),
            implied=implied,
        )
        return after, seen

    def _usual_level(self, memory: Memory) -> Tensor:
        return marks.usual_implied(self.calibration, self.filter, memory).log()

    def _log_return(self, variance: Tensor, memory: Memory, draw: Draw) -> Tensor:
        """s·z − ln E[e^(sz)] of an ordinary shock z, s² = `variance` (P,) of the bar; or in its place a cascade's.

        The atom's rank is the shock's rank in either law, so that assets whose ranks agree crash together.
        """
        law, chance = self.calibration.shocks, self.filter.cascade_chance(memory)
        filtered = (self.filter.spot_variance(memory) * self.bar).sqrt()
        cascade = draw.cascade < chance
        drawn = self.moves.index_select(0, torch.where(cascade, draw.atom + ATOMS, draw.atom))
        ordinary = variance.sqrt() * drawn - variance * polynomial(self.level, variance)
        move = torch.where(cascade, (filtered * drawn).clamp(-law.max_fall, law.max_rise), ordinary)
        return move - torch.log1p(chance * self._excess(filtered))

    def _switched(self, regime: Tensor, uniform: Tensor) -> Tensor:
        return (uniform > self.upper.index_select(1, regime)).sum(0)

    def _excess(self, deviation: Tensor) -> Tensor:
        """`excess` at the nearest of its points to `deviation` (P,)."""
        place = (deviation * ((CURVE - 1) / self.widest) + 0.5).clamp(max=CURVE - 1)
        return self.excess.index_select(0, place.to(torch.int32))


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


def _level(atoms: Tensor, widest: float) -> list[float]:
    """Coefficients in s², lowest first, of ln E[e^(sz)]/s² over `atoms`, for deviations s up to `widest`.

    Interpolated in Chebyshev's points, to as high a degree as LEVEL_ERROR asks for: the series of the cumulants
    converges, as the atoms are bounded. Raises BadInput where they reach so far that it does not.
    """

    def exact(squares: NDArray[np.float64]) -> NDArray[np.float64]:
        logs = [float(torch.logsumexp(s * atoms, 0)) - math.log(len(atoms)) for s in np.sqrt(squares)]
        return np.array(logs) / squares

    between = np.linspace(0, widest**2, 4 * LEVEL_DEGREE)[1:]
    wanted = exact(between)
    for degree in range(2, LEVEL_DEGREE):
        fitted = Chebyshev.interpolate(exact, degree, domain=[0, widest**2])
        if (np.abs(fitted(between) - wanted) * between).max() < LEVEL_ERROR:
            return [float(each) for each in fitted.convert(kind=Polynomial).coef]
    raise BadInput("regimes.truncation: the shocks' tail is too long for the ceiling; lower one of the two")


def _extremes(law: Range, log_return: Tensor, variance: Tensor, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """How far a bar's low lies below its open, and its high above, in log price; all (P,), the last two uniform.

    The minimum of a Brownian bridge to r of variance v lies at (−r + √(r² + 2vE))/2 with E standard exponential
    (Borodin and Salminen 2002, 1.2.8); v of inverse-gamma law with 2 degrees makes E of Lomax's: 1/√U − 1.
    """
    square = log_return.square()
    fell = log_return < 0
    below = law.low_diffusive * variance + law.low_overshoot * square * fell
    above = law.high_diffusive * variance + law.high_overshoot * square * ~fell
    low = ((square + 2 * below * (lower.clamp(min=RAREST).rsqrt() - 1)).sqrt() - log_return) / 2
    high = ((square + 2 * above * (upper.clamp(min=RAREST).rsqrt() - 1)).sqrt() + log_return) / 2
    return low.clamp(max=law.low_reach), high.clamp(max=law.high_reach)


def _column(state: State, asset: int) -> State:
    return State(*(value[:, asset] for value in vars(state).values()))


def _joined(states: list[State]) -> State:
    """The assets' states side by side; a view where there is one."""
    columns = zip(*(vars(state).values() for state in states), strict=True)
    return State(*(c[0][:, None] if len(c) == 1 else torch.stack(c).T for c in columns))
