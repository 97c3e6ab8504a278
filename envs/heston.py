"""Heston's parameters, and his implied volatilities tabulated from exact prices."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from envs import constant
from envs.calibration import IMPLIED_HOURS, Positive
from envs.pricing import heston, implied
from envs.types import HOUR, BadInput, Quote
from envs.volatility.memory import Memory

MONTH = IMPLIED_HOURS * HOUR  # years to expiry of the quoted implied volatility
LEVELS, TIMES, STRIKES = 64, 24, 81  # nodes of the smile's table
QUOTED = 512  # values of √V for which the quoted volatility is tabulated
WIDEST = 100.0  # log-moneyness in expected standard deviations, beyond which the smile is flat
LEAST = 1e-8  # of the spot: cheaper options' prices are too near rounding to imply a volatility


class Law(constant.Venue):
    """dV = kappa·(theta − V)dt + xi·√V·dW; rho is dW's correlation with the price."""

    kappa: Positive = 1.5  # per year
    theta: Positive = 0.04  # variance per year
    xi: Positive = 0.5  # volatility of variance
    rho: Annotated[float, Field(gt=-1, lt=1)] = -0.7
    v0: Positive = 0.04  # variance per year at the start

    @model_validator(mode="after")
    def _price_has_a_mean(self) -> Self:
        """Then the expectations in the simulation's martingale correction exist, whatever the variance."""
        if self.rho * self.xi * self.bar * (1 + self.kappa * self.bar / 2) >= 1:
            raise ValueError(f"rho·xi is too large for bars of {self.bar_hours:g} h; shorten bar_hours")
        return self

    @property
    def highest(self) -> float:
        """√V that is hardly ever passed: six standard deviations of its long-run law above theta and v0."""
        return math.sqrt(
            max(self.v0, self.theta) + 6 * self.xi * math.sqrt(max(self.v0, self.theta) / (2 * self.kappa))
        )


class HestonSurface:
    """The volatility quoted tells the variance, and both tell the smile; trilinear between exact values.

    The table holds implied volatility over the square root of the expected mean variance, which is near 1. Its axes are
    V^¼, the logarithm of time, and asinh of log-moneyness in expected standard deviations: fine where the smile bends.
    """

    def __init__(self, law: Law, horizon: int, dtype: torch.dtype, device: torch.device) -> None:
        """`horizon`: the longest option, in bars. Raises BadInput where the quoted volatility does not rise with V."""
        self.law = law
        self.first, last = math.log(law.bar), math.log(max(horizon * law.bar, MONTH))
        reaches = (math.sqrt(law.highest), last - self.first, 2 * math.asinh(WIDEST))
        self.steps = tuple(reach / (n - 1) for reach, n in zip(reaches, (LEVELS, TIMES, STRIKES), strict=True))
        level = torch.linspace(0, law.highest, QUOTED, dtype=torch.float64)
        quoted = _volatility(law, level.square(), level.new_tensor(MONTH), level.new_zeros(()))
        if not bool((quoted.diff() > 0).all()):
            raise BadInput(f"xi = {law.xi:g} is too large: 30-day implied volatility does not rise with V; lower it")
        self.level, self.quoted = level.to(device, dtype), quoted.to(device, dtype)
        self.table = _table(law, math.exp(self.first), math.exp(last)).to(device, dtype)

    def at_the_money(self, variance: Tensor) -> Tensor:
        """The 30-day volatility quoted at `variance` (P,) per year; beyond `highest` on a straight line."""
        return _line(variance.sqrt(), self.level, self.quoted)

    def variance(self, quoted: Tensor) -> Tensor:
        """The inverse of `at_the_money`, (P,)."""
        return _line(quoted, self.quoted, self.level).clamp(min=0).square()

    def volatility(self, quote: Quote, memory: Memory, strike: Tensor, bars_left: Tensor) -> Tensor:
        """(P, n) per √year, of options with `strike` (P, n) and `bars_left` (P, n); expired ones as in a bar."""
        variance = self.variance(quote.implied_volatility)[:, None]
        time = bars_left.clamp(min=1).to(strike.dtype) * self.law.bar
        mean = _expected(self.law, time, variance)
        moneyness = torch.log(strike / quote.spot[:, None]) * (mean * time).rsqrt()
        places = (variance**0.25, torch.log(time) - self.first, torch.asinh(moneyness) + math.asinh(WIDEST))
        return mean.sqrt() * self._between(tuple(place.expand_as(moneyness) for place in places))

    def implied_after(self, quote: Quote, memory: Memory, log_return: float) -> Tensor:
        """With the expected dV = ρξ·dS/S."""
        variance = self.variance(quote.implied_volatility) + self.law.rho * self.law.xi * log_return
        return self.at_the_money(variance.clamp(min=0))

    def half_spread(self, delta: Tensor) -> Tensor:
        """Of an option's price, as a fraction; the shape of `delta`."""
        return torch.full_like(delta, self.law.option_half_spread)

    def _between(self, places: tuple[Tensor, ...]) -> Tensor:
        """The table, linear along each axis between its nodes and flat beyond them."""
        lefts, shares = [], []
        for place, step, count in zip(places, self.steps, self.table.shape, strict=True):
            node = (place / step).clamp(0, count - 1)
            left = node.floor().clamp(max=count - 2)
            lefts.append(left.to(torch.int64))
            shares.append(node - left)
        total = torch.zeros_like(places[0])
        for corner in itertools.product((0, 1), repeat=3):
            weight = math.prod(s if right else 1 - s for s, right in zip(shares, corner, strict=True))
            total = total + weight * self.table[tuple(i + right for i, right in zip(lefts, corner, strict=True))]
        return total


def _line(x: Tensor, nodes: Tensor, values: Tensor) -> Tensor:
    """Linear between (`nodes`, `values`), nodes rising, and on the last piece's line beyond."""
    right = torch.bucketize(x, nodes).clamp(1, len(nodes) - 1)
    share = (x - nodes[right - 1]) / (nodes[right] - nodes[right - 1])
    return torch.lerp(values[right - 1], values[right], share)


@functools.cache
def _table(law: Law, first: float, last: float) -> Tensor:
    """(LEVELS, TIMES, STRIKES) float64; where an option is worth too little, its neighbour nearer the money stands."""
    time = torch.logspace(math.log10(first), math.log10(last), TIMES, dtype=torch.float64)[:, None]
    moneyness = torch.linspace(-math.asinh(WIDEST), math.asinh(WIDEST), STRIKES, dtype=torch.float64).sinh()
    levels = torch.linspace(0, math.sqrt(law.highest), LEVELS, dtype=torch.float64)
    rows = [_volatility(law, each**4, time, moneyness) / _expected(law, time, each**4).sqrt() for each in levels]
    table, middle = torch.stack(rows), STRIKES // 2
    table[..., middle] = table[..., middle].nan_to_num(1.0)
    for offset in range(1, middle + 1):
        for here, inner in ((middle + offset, middle + offset - 1), (middle - offset, middle - offset + 1)):
            table[..., here] = torch.where(table[..., here].isnan(), table[..., inner], table[..., here])
    return table


def _volatility(law: Law, variance: Tensor, time: Tensor, moneyness: Tensor) -> Tensor:
    """Implied by the exact price, float64; NaN where that is below LEAST; `moneyness` ln(K/S)/σ√τ; all broadcast."""
    strike = (moneyness * (_expected(law, time, variance) * time).sqrt()).exp()
    one, call = strike.new_ones(()), moneyness >= 0
    kappa, theta, xi, rho = strike.new_tensor([law.kappa, law.theta, law.xi, law.rho])
    price = heston.price(one, strike, time, variance, kappa, theta, xi, rho, call)
    found = implied.implied_volatility(price, one, strike, time, call)
    return torch.where(found.valid & (price > LEAST), found.volatility, torch.nan)


def _expected(law: Law, time: Tensor, variance: Tensor) -> Tensor:
    """Mean variance expected over `time`: theta + (V − theta)·(1 − e^(−κτ))/(κτ), per year."""
    return law.theta - (variance - law.theta) * torch.expm1(-law.kappa * time) / (law.kappa * time)
