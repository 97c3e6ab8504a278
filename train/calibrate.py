"""From real prices and funding to the calibrated numbers of a market, and what the fit says about itself."""

from __future__ import annotations

import json as encoding
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from envs.calibration import Calibration, Liquidity, Shocks, Source, Surface
from envs.history import Bars, load_bars, load_funding
from envs.shocks import second_moment
from envs.types import HOURS_PER_YEAR, BadInput
from envs.volatility.garch import RegimeTensors
from envs.volatility.regimes import joint_variance, spectral_radius, stationary, stationary_variance
from train import cascades, msgarch, premium
from train.cascades import Hazard
from train.msgarch import Fit, Sample
from train.single import SingleRegime, fit_single

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Progress = Callable[[str], None]

TRUNCATION = 10.0  # standard deviations: bounds the ordinary shock, so that a price has an expectation
MIN_BARS = 2000
IMPLIED_PREMIUM = 0.09  # 30-day implied volatility less the realised that followed, BTC on average (shared measurement)

# Calm: a 0.02 bps spread and $2.8 M within 5 bps, measured on Binance's BTC perpetual (2024-08-08). Stressed is an
# assumption, as the data has no book in a crash: a tenth of the depth, and half a spread that eats a taker's fee twice.
CALM_HALF_SPREAD, STRESSED_HALF_SPREAD = 1e-6, 1e-3
CALM_DEPTH, STRESSED_DEPTH = 2.8e6, 0.28e6


@dataclass(frozen=True)
class Diagnostics:
    """What the fit says about itself. Log-likelihoods are of log returns, in nats; regime 0 is calm."""

    bars: int
    single: SingleRegime
    single_log_likelihood: float  # arch's model, on the bars that the two-regime likelihood counts
    log_likelihood: float  # of the two-regime model, cascades left out
    bic: float
    regime_hours: tuple[float, ...]  # mean duration
    regime_share: tuple[float, ...]
    regime_volatility: tuple[float, ...]  # per √year, of the mean variance while in it
    sample_volatility: float  # per √year, of ordinary shocks: the target
    stationary_volatility: float  # per √year, of the model, with what cascades feed into its news
    spectral_radius: float
    cascades: int
    expected_ordinary: float  # falls as deep that the t alone would bring
    hazard_likelihood_ratio: float  # against a constant hazard, two parameters more: 5.99 is the 5 % point
    branching_ratio: float  # cascades that one cascade brings about
    funding_mean: float  # per year
    funding_std: float  # per year, of daily means
    seconds: float


class Fitted(NamedTuple):
    """The stages of a fit."""

    sample: Sample
    fit: Fit
    falls: Array  # (n,) in filtered standard deviations
    extreme: Mask  # (n,) cascades
    hazard: Hazard
    shocks: Shocks


def calibrate(
    bars: Bars, funding: pd.Series[float], first: str, last: str, progress: Progress | None = None
) -> tuple[Calibration, Diagnostics]:
    """The market of `bars` and of `funding` (per year, by day) from `first` to `last`; nothing after `last` is seen.

    `progress` is told each stage. Raises BadInput where the window is too short or too quiet to fit.
    """
    began, tell = time.perf_counter(), progress or (lambda stage: None)
    window = bars.window(first, last)
    returns, usable = window.log_returns()
    if (count := int(usable.sum())) < MIN_BARS:
        raise BadInput(f"{bars.name}: {count} usable returns from {first} to {last}; fitting needs {MIN_BARS}")
    dt = window.bar_hours / HOURS_PER_YEAR
    tell("funding")
    daily = premium.window_of(funding, window.frame.index[0], window.frame.index[-1])
    rates = premium.fit_premium(daily)
    tell("single regime")
    single, seen = fit_single(returns[usable], dt)
    tell("two regimes and cascades")
    fitted = _fit(returns, usable, seen, dt)
    reference = math.sqrt(float(fitted.sample.news[usable].mean()))
    calibration = Calibration(
        source=_source(window, count),
        reference_volatility=reference,
        regimes=fitted.fit.regimes,
        shocks=fitted.shocks,
        funding=rates,
        liquidity=_liquidity(fitted.shocks),
        surface=Surface(risk_premium=(reference + IMPLIED_PREMIUM) / reference),
    )
    return calibration, _diagnostics(fitted, single, seen, daily, time.perf_counter() - began)


def command(
    out: Annotated[Path, typer.Option(help="Where to write the calibration, .toml.")],
    data: Annotated[str, typer.Option(help='"btc", "eth", or a .csv, .csv.gz or .parquet file of bars.')] = "btc",
    funding: Annotated[str, typer.Option(help='"btc", or a file with columns time and funding_mean.')] = "btc",
    first: Annotated[str, typer.Option(help="First bar, UTC.")] = "2017-07-01",
    last: Annotated[str, typer.Option(help="Last bar, UTC; nothing after it is seen.")] = "2022-03-01",
    json: Annotated[bool, typer.Option("--json", help="Print the diagnostics as JSON.")] = False,
) -> None:
    """Fit a market to real prices and write its numbers.

    Example: rehedge calibrate --data btc --last 2022-03-01 --out runs/btc.toml
    """
    console = Console(stderr=True)
    with console.status("reading") as status:
        calibration, diagnostics = calibrate(load_bars(data), load_funding(funding), first, last, status.update)
    out.parent.mkdir(parents=True, exist_ok=True)
    calibration.save(out)
    if json:
        print(encoding.dumps(asdict(diagnostics)))
    else:
        Console().print(table(diagnostics, out))


def _fit(returns: Array, usable: Mask, seen: Array, dt: float) -> Fitted:
    """Cascades by arch's variances `seen` (usable bars,), a first fit without them; both again by that fit's filter."""
    variance = np.full(len(returns), np.nan)
    variance[usable] = seen
    rough_falls = cascades.falls_in_sigmas(returns, usable, variance, dt)
    rough_extreme = cascades.find(rough_falls)
    feed = float((returns[rough_extreme] ** 2).sum() / dt / usable.sum())
    rough = Sample.of(returns, usable, rough_extreme, dt, TRUNCATION, feed)
    near = msgarch.fit(rough)
    falls = cascades.falls_in_sigmas(returns, usable, msgarch.predicted_variance(rough, near.regimes), dt)
    extreme = cascades.find(falls)
    hazard = cascades.fit_hazard(falls, extreme, dt)
    shocks = cascades.shocks(hazard, returns, falls, extreme)
    rate = float(extreme.sum()) / float(usable.sum() * dt)
    sample = Sample.of(returns, usable, extreme, dt, TRUNCATION, rate * second_moment(shocks))
    return Fitted(sample, msgarch.refine(sample, near), falls, extreme, hazard, shocks)


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


def _liquidity(shocks: Shocks) -> Liquidity:
    """One fall that counts as a cascade brings the book half-way to its stressed state."""
    return Liquidity(
        calm_half_spread=CALM_HALF_SPREAD,
        stressed_half_spread=STRESSED_HALF_SPREAD,
        calm_depth=CALM_DEPTH,
        stressed_depth=STRESSED_DEPTH,
        half_stress_rate=shocks.excitation * (cascades.CASCADE_FALL - cascades.FALL_THRESHOLD),
    )


def _diagnostics(
    fitted: Fitted, single: SingleRegime, seen: Array, daily: pd.Series[float], seconds: float
) -> Diagnostics:
    sample, fit, usable = fitted.sample, fitted.fit, fitted.sample.usable
    density = single.log_density(sample.news[usable], seen, sample.dt)[sample.counted[usable]]
    tensors = RegimeTensors.of(fit.regimes)
    news = (tensors.alpha + tensors.leverage) * sample.feed  # a cascade is a fall
    fed = replace(tensors, omega=tensors.omega + news)
    share = stationary(tensors.transition)
    stay = tensors.transition.diagonal()
    return Diagnostics(
        bars=int(usable.sum()),
        single=single,
        single_log_likelihood=float(density.sum()),
        log_likelihood=fit.log_likelihood,
        bic=fit.parameters * math.log(sample.counted.sum()) - 2 * fit.log_likelihood,
        regime_hours=tuple((sample.dt * HOURS_PER_YEAR / (1 - stay)).tolist()),
        regime_share=tuple(share.tolist()),
        regime_volatility=tuple((joint_variance(fed).diagonal() / share).sqrt().tolist()),
        sample_volatility=math.sqrt(sample.target),
        stationary_volatility=math.sqrt(stationary_variance(fed)),
        spectral_radius=spectral_radius(tensors),
        cascades=int(fitted.extreme.sum()),
        expected_ordinary=cascades.expected_ordinary(int(usable.sum()), fit.regimes.degrees_of_freedom),
        hazard_likelihood_ratio=fitted.hazard.likelihood_ratio,
        branching_ratio=cascades.branching_ratio(fitted.hazard, fitted.falls, fitted.extreme),
        funding_mean=float(daily.mean()),
        funding_std=float(daily.std()),
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
