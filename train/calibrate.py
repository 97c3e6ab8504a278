"""From real prices and funding to the calibrated numbers of a market, and what the fit says about itself."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.table import Table

from envs.calibration import Calibration, Liquidity, Range, Regimes, Source, Surface
from envs.history import DATA, Bars
from envs.types import HOURS_PER_YEAR, BadInput
from envs.volatility.garch import RegimeTensors
from envs.volatility.regimes import joint_variance, spectral_radius, stationary
from train import cascades, eras, levels, msgarch, premium, ranges
from train.cascades import Hazard
from train.msgarch import Fit, Sample
from train.single import SingleRegime, fit_single

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Progress = Callable[[str], None]

MIN_BARS = 2000

# Calm: a 0.02 bps spread and $2.8 M within 5 bps, measured on Binance's BTC perpetual (2024-08-08). Stressed is an
# assumption, as the data has no book in a crash: a tenth of the depth, and half a spread that eats a taker's fee twice.
# One bare cascade brings the venue half-way there. Auto-deleveraging: Hyperliquid's event of 2025-10-10 closed 46 % of
# the largest winning positions over all coins, 14 % on BTC, which ranged over 12.5 % in its worst hour.
LIQUIDITY = Liquidity(
    calm_half_spread=1e-6,
    stressed_half_spread=1e-3,
    calm_depth=2.8e6,
    stressed_depth=0.28e6,
    half_strain=cascades.CASCADE_MOVE - cascades.THRESHOLD,
    deleveraging_range=0.096,
    deleveraged_share=0.46,
)
# No history of implied volatility ships. Its volatility of .9 a year, its hourly correlation of −.17 with returns, and
# a 25-delta risk reversal of −5.8 points at 42 % are the shared measurements; the curvature is that of listed chains.
SURFACE = Surface(
    risk_premium=1.0,  # until the levels are met
    half_life_hours=48.0,
    volatility=0.87,
    return_correlation=-0.19,
    skew=-0.315,
    curvature=0.7,
)


@dataclass(frozen=True)
class Diagnostics:
    """What the fit says about itself. Log-likelihoods are of log returns, in nats; regimes from calm to turbulent."""

    bars: int
    single: SingleRegime
    single_log_likelihood: float  # arch's model, on the bars that the regimes' likelihood counts
    log_likelihood: float  # of the regimes, cascades left out
    level_cost: float  # log-likelihood that meeting the simulated levels gave up
    bic: float
    regime_hours: tuple[float, ...]  # mean duration
    regime_share: tuple[float, ...]
    regime_volatility: tuple[float, ...]  # per √year, of the mean variance while in it
    sample_volatility: float  # per √year
    spectral_radius: float
    era_ratio: float  # ω of the era of high volatility over that of the low
    likeliest_era_ratio: float
    cascades: int
    leverage_likelihood_ratio: float  # of a hazard that falls with volatility, one parameter: 3.84 is the 5 % point
    hazard_likelihood_ratio: float  # of excitation besides, two parameters: 5.99 is the 5 % point
    branching_ratio: float  # cascades that one cascade brings about
    funding_mean: float  # per year; NaN without funding
    funding_std: float  # per year, of daily means
    seconds: float


class Fitted(NamedTuple):
    """The stages of a fit."""

    sample: Sample
    fit: Fit
    variance: Array  # (n,) predicted, per year
    moves: Array  # (n,) in filtered standard deviations
    extreme: Mask  # (n,) cascades
    hazard: Hazard


def calibrate(
    bars: Bars,
    funding: pd.Series[float] | None,
    first: str,
    last: str,
    progress: Progress | None = None,
    like: Calibration | None = None,
) -> tuple[Calibration, Diagnostics]:
    """The market of `bars` and of `funding` (per year, by day) from `first` to `last`; nothing after `last` is seen.

    Without `funding` the premium is that of the shipped BTC market; without highs and lows, so are the ranges.
    With `like`, regimes change as they do there, so that two assets can share them; how far apart the eras lie is then
    left to the likelihood, as it may not make up for how long another's last. `progress` is told each stage.
    Raises BadInput where the window is too short or too quiet to fit.
    """
    began, tell = time.perf_counter(), progress or (lambda stage: None)
    window = bars.window(first, last)
    returns, usable = window.log_returns()
    if (count := int(usable.sum())) < MIN_BARS:
        raise BadInput(f"{bars.name}: {count} usable returns from {first} to {last}; fitting needs {MIN_BARS}")
    dt = window.bar_hours / HOURS_PER_YEAR
    tell("funding")
    daily = None if funding is None else premium.window_of(funding, window.frame.index[0], window.frame.index[-1])
    rates = _usual().funding if daily is None else premium.fit_premium(daily)
    tell("single regime")
    single, seen = fit_single(returns[usable], dt)
    tell("regimes and cascades")
    fitted = _fit(returns, usable, seen, dt, None if like is None else like.regimes)
    draft = Calibration(
        source=_source(window, count),
        reference_volatility=math.sqrt(float(fitted.sample.news[usable].mean())),
        regimes=fitted.fit.regimes,
        shocks=cascades.shocks(fitted.hazard, returns, fitted.moves, fitted.extreme, fitted.variance, dt),
        range=_range(window, returns, fitted.variance, dt),
        funding=rates,
        liquidity=LIQUIDITY,
        surface=SURFACE,
    )
    tell("levels")
    goals = draft.reference_volatility**2, float(fitted.extreme.sum()) / count
    made = levels.met(draft, *goals)
    if like is None and (parted := eras.met(made, window, tell)) is not made:
        made = levels.met(parted, *goals)
    return made, _diagnostics(made, fitted, single, seen, daily, time.perf_counter() - began)


def _fit(returns: Array, usable: Mask, seen: Array, dt: float, like: Regimes | None) -> Fitted:
    """Cascades by arch's variances `seen` (usable bars,), a first fit without them; both again by that fit's filter."""
    variance = np.full(len(returns), np.nan)
    variance[usable] = seen
    rough_extreme = cascades.find(cascades.in_sigmas(returns, usable, variance, dt))
    rough = Sample.of(returns, usable, rough_extreme, dt, cascades.CASCADE_MOVE, variance)
    near = msgarch.fit(rough, msgarch.ROUGH_STEPS, like)
    variance = msgarch.predicted_variance(rough, near.regimes)
    extreme = cascades.find(cascades.in_sigmas(returns, usable, variance, dt))
    sample = Sample.of(returns, usable, extreme, dt, cascades.CASCADE_MOVE, variance)
    fit = msgarch.refine(sample, near, like)
    variance = msgarch.predicted_variance(sample, fit.regimes)
    moves = cascades.in_sigmas(returns, usable, variance, dt)
    extreme = cascades.find(moves)
    calm = float(sample.news[usable].mean()) / variance
    return Fitted(sample, fit, variance, moves, extreme, cascades.fit_hazard(moves, extreme, calm, dt))


def _usual() -> Calibration:
    """The shipped BTC market, for what a user's data lacks."""
    return Calibration.load(DATA / "btc_2017_2022.toml")


def _range(window: Bars, returns: Array, variance: Array, dt: float) -> Range:
    return ranges.fit(window, variance * dt) if ranges.recorded(window) else _usual().range


def _source(window: Bars, count: int) -> Source:
    times = window.frame.index
    return Source(
        asset=window.name,
        first=times[0].isoformat(),
        last=times[-1].isoformat(),
        bars=count,
        bar_hours=window.bar_hours,
        sha256=window.sha256,
    )


def _diagnostics(
    made: Calibration,
    fitted: Fitted,
    single: SingleRegime,
    seen: Array,
    daily: pd.Series[float] | None,
    seconds: float,
) -> Diagnostics:
    sample, fit, usable = fitted.sample, fitted.fit, fitted.sample.usable
    density = single.log_density(sample.news[usable], seen, sample.dt)[sample.counted[usable]]
    tensors = msgarch.fed(RegimeTensors.of(made.regimes), made.shocks.news_gain)
    share = stationary(tensors.transition)
    stay = tensors.transition.diagonal()
    return Diagnostics(
        bars=int(usable.sum()),
        single=single,
        single_log_likelihood=float(density.sum()),
        log_likelihood=fit.log_likelihood,
        level_cost=fit.log_likelihood - msgarch.log_likelihood(sample, made.regimes),
        bic=fit.parameters * math.log(sample.counted.sum()) - 2 * fit.log_likelihood,
        regime_hours=tuple((sample.dt * HOURS_PER_YEAR / (1 - stay)).tolist()),
        regime_share=tuple(share.tolist()),
        regime_volatility=tuple((joint_variance(tensors).diagonal() / share).sqrt().tolist()),
        sample_volatility=made.reference_volatility,
        spectral_radius=spectral_radius(tensors),
        era_ratio=eras.ratio_of(made.regimes),
        likeliest_era_ratio=eras.ratio_of(fit.regimes),
        cascades=int(fitted.extreme.sum()),
        leverage_likelihood_ratio=fitted.hazard.leverage_ratio,
        hazard_likelihood_ratio=fitted.hazard.excitation_ratio,
        branching_ratio=cascades.branching_ratio(fitted.hazard, fitted.moves, fitted.extreme),
        funding_mean=math.nan if daily is None else float(daily.mean()),
        funding_std=math.nan if daily is None else float(daily.std()),
        seconds=seconds,
    )


def table(diagnostics: Diagnostics, out: Path) -> Table:
    table = Table(title=f"written to {out}", show_header=False)
    flat = asdict(diagnostics)
    rows = {**{f"single.{name}": value for name, value in flat.pop("single").items()}, **flat}
    for name, value in rows.items():
        values = value if isinstance(value, tuple) else (value,)
        table.add_row(name.replace("_", " "), "  ".join(f"{number:,.6g}" for number in values))
    return table
