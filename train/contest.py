"""Which volatility model describes a market best: likelihoods of a window, forecasts of bars that no fit has seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from torch import Tensor

from envs.history import Bars
from envs.types import HOURS_PER_YEAR, BadInput
from envs.volatility import egarch, garch, realised, regimes
from envs.volatility.garch import RegimeTensors
from train import msgarch, ranges
from train.msgarch import Sample
from train.single import MODELS, ArchFit, fit_arch

Array = NDArray[np.float64]
Progress = Callable[[str], None]

TRUNCATION = 10.0  # standard deviations
HORIZONS = (24, 168)  # bars
HALF_LIFE = 24.0  # bars, of realised variance
JUDGED = 0.3  # of the bars
WARM_UP = 1500  # bars before the judged ones that a filter sees first
MIN_BARS = 2000  # fitted
HEADS = ("fitted", "log-lik.", "BIC", "density", *(f"QLIKE {bars}" for bars in HORIZONS))
READING = (
    f"Each model is fitted to the first {100 * (1 - JUDGED):.0f} % of the bars: the number of parameters fitted, "
    "log-likelihood and BIC (lower is better) are of those. The others judge it: density is the mean log-density of a "
    "bar seen from the one before (higher is better), QLIKE that of the variance forecast over the next "
    f"{' or '.join(map(str, HORIZONS))} bars (0 is perfect)."
)
NORMAL = 1e6  # degrees of freedom at which a Student-t is normal to six digits


@dataclass(frozen=True)
class Entry:
    """One model's results; None where it has none: realised variance is not fitted and has no likelihood."""

    name: str
    parameters: int | None
    log_likelihood: float | None  # of the fitted log returns, in nats
    bic: float | None
    score: float | None  # mean log-density of the judged returns, each seen from the bar before
    loss: tuple[float, ...]  # QLIKE of the term variance at each of HORIZONS over the judged bars; 0 is perfect


def contest(bars: Bars, progress: Progress | None = None) -> tuple[Entry, ...]:
    """All models fitted to the first bars and judged on the last share JUDGED of them, best BIC first.

    Garman–Klass only where highs and lows were recorded. Raises BadInput where too few bars remain to fit or to judge.
    """
    returns, usable = bars.log_returns()
    dt, frame = bars.bar_hours / HOURS_PER_YEAR, bars.frame.loc[usable]
    split = round(len(frame) * (1 - JUDGED))
    if split < MIN_BARS or len(frame) - split < max(HORIZONS):
        raise BadInput(f"{bars.name}: {len(frame)} usable bars, {split} of them to fit; bring a longer window")
    kept = slice(split - WARM_UP, None)
    prices = torch.from_numpy(frame[["open", "high", "low", "close"]].to_numpy(np.float64, copy=True)[kept])
    unseen = torch.from_numpy(returns[usable][kept])
    tell = progress or (lambda stage: None)
    tell("fitting volatility models")
    entries = []
    for contender in _contenders(returns[usable][:split], dt, ranges.recorded(bars)):
        tell(f"judging {contender.name}")
        entries.append(_judged(contender, prices, unseen, dt))
    return tuple(sorted(entries, key=lambda entry: math.inf if entry.bic is None else entry.bic))


def table(entries: tuple[Entry, ...]) -> Table:
    """A row for each model."""
    made = Table(box=box.SIMPLE_HEAD, padding=0, caption=READING)
    made.add_column("model", no_wrap=True)
    for head in HEADS:
        made.add_column(f" {head}", justify="right", no_wrap=True)
    for entry in entries:
        made.add_row(entry.name, *cells(entry))
    return made


def cells(entry: Entry) -> tuple[str, ...]:
    """A cell for each of HEADS, empty where the model has no such figure."""
    values = (entry.parameters, entry.log_likelihood, entry.bic, entry.score, *entry.loss)
    forms = ("d", ",.0f", ",.0f", ".4f", *(".4f" for _ in HORIZONS))
    return tuple("" if value is None else format(value, form) for value, form in zip(values, forms, strict=True))


@dataclass(frozen=True)
class _Contender:
    """A filter of one market: its memory (its own affair) before the first bar, and what it does with it."""

    name: str
    start: Any
    step: Callable[[Any, Tensor, Tensor], Any]  # after a bar of prices (4, 1), open to close, and log return (1,)
    term_variance: Callable[[Any, Tensor], Tensor]  # (n,) per year, averaged over the next bars (n,)
    log_density: Callable[[Any, Tensor], Tensor] | None = None  # (1,) of the next bar's return (1,)
    fit: tuple[int, float] | None = None  # parameters, log-likelihood
    bars: int = 0  # fitted


def _contenders(returns: Array, dt: float, ranged: bool) -> list[_Contender]:
    start = float((returns**2).mean() / dt)
    singles = {name: fit_arch(name, returns, dt) for name in MODELS}
    every = np.ones(len(returns), bool)
    pair = msgarch.fit(Sample.of(returns, every, ~every, dt, TRUNCATION))
    exponential = singles.pop("EGARCH-t")
    switching = {name: (_one_regime(single), _size(single)) for name, single in singles.items()}
    switching["MS-GARCH-t"] = RegimeTensors.of(pair.regimes), (pair.parameters, pair.log_likelihood)
    return [
        *(_switching(name, model, start, dt, fit, len(returns)) for name, (model, fit) in switching.items()),
        _exponential("EGARCH-t", exponential, start, dt, len(returns)),
        _realised("realised, closes", start, dt, ranged=False),
        *([_realised("realised, Garman–Klass", start, dt, ranged=True)] if ranged else []),
    ]


def _size(single: ArchFit) -> tuple[int, float]:
    return single.parameters, single.log_likelihood


def _one_regime(single: ArchFit) -> RegimeTensors:
    def one(value: float) -> Tensor:
        return torch.tensor([value], dtype=torch.float64)

    return RegimeTensors(
        transition=one(1.0).unsqueeze(0),
        omega=one(single.omega),
        alpha=one(single.alpha),
        leverage=one(single.leverage),
        beta=one(single.beta),
        degrees_of_freedom=min(single.degrees_of_freedom, NORMAL),
        truncation=TRUNCATION,
        ceiling=math.inf,
    )


def _switching(
    name: str, model: RegimeTensors, start: float, dt: float, fit: tuple[int, float], bars: int
) -> _Contender:
    """MS-GARCH without cascades, or GARCH where there is one regime; memory is (probability, variance), both (1, K)."""
    weights = regimes.forecast_weights(model, max(HORIZONS))
    chance = regimes.stationary(model.transition).unsqueeze(0)

    def density(memory: tuple[Tensor, Tensor], log_return: Tensor) -> Tensor:
        return garch.log_density(model, memory[1], log_return, dt)

    def step(memory: tuple[Tensor, Tensor], prices: Tensor, log_return: Tensor) -> tuple[Tensor, Tensor]:
        _, predicted = regimes.update(model, memory[0], density(memory, log_return))
        return predicted, garch.next_variance(model, memory[1], log_return, dt)

    def term_variance(memory: tuple[Tensor, Tensor], bars: Tensor) -> Tensor:
        return weights[bars] @ torch.cat([torch.outer(memory[0][0], memory[1][0]).flatten(), memory[0][0]])

    def log_density(memory: tuple[Tensor, Tensor], log_return: Tensor) -> Tensor:
        return (memory[0].log() + density(memory, log_return)).logsumexp(-1)

    return _Contender(name, (chance, torch.full_like(chance, start)), step, term_variance, log_density, fit, bars)


def _exponential(name: str, single: ArchFit, start: float, dt: float, bars: int) -> _Contender:
    model = single.egarch(TRUNCATION)
    filter = egarch.Filter(model, start, dt, torch.float64, torch.device("cpu"), max(HORIZONS))
    return _Contender(
        name,
        filter.initial(1),
        lambda memory, prices, log_return: filter.update(memory, log_return),
        filter.term_variance,
        lambda memory, log_return: egarch.log_density(model, memory, log_return, dt),
        _size(single),
        bars,
    )


def _realised(name: str, start: float, dt: float, ranged: bool) -> _Contender:
    filter = realised.Filter(HALF_LIFE, start, dt, torch.float64, torch.device("cpu"))

    def step(memory: Tensor, prices: Tensor, log_return: Tensor) -> Tensor:
        return filter.update_range(memory, *prices) if ranged else filter.update(memory, log_return)

    return _Contender(name, filter.initial(1), step, filter.term_variance)


def _judged(contender: _Contender, prices: Tensor, log_return: Tensor, dt: float) -> Entry:
    """The contender's forecasts of each of the bars after WARM_UP, from those before it."""
    memory, density, scores, forecasts = contender.start, contender.log_density, [], []
    horizons = torch.tensor(HORIZONS)
    for bar, (row, seen) in enumerate(zip(prices.unsqueeze(-1), log_return.unsqueeze(-1), strict=True)):
        if bar >= WARM_UP:
            forecasts.append(contender.term_variance(memory, horizons))
            scores += [] if density is None else [density(memory, seen)]
        memory = contender.step(memory, row, seen)
    count, likelihood = contender.fit or (None, None)
    return Entry(
        name=contender.name,
        parameters=count,
        log_likelihood=likelihood,
        bic=None if count is None or likelihood is None else count * math.log(contender.bars) - 2 * likelihood,
        score=float(torch.cat(scores).mean()) if scores else None,
        loss=tuple(_quasi_likelihood(torch.stack(forecasts), log_return[WARM_UP:], dt)),
    )


def _quasi_likelihood(forecast: Tensor, log_return: Tensor, dt: float) -> list[float]:
    """QLIKE of Patton (2011), J. Econometrics 160, 246: mean v/f − ln(v/f) − 1, v realised over windows end to end."""
    losses = []
    for horizon, column in zip(HORIZONS, forecast.T, strict=True):
        ahead = log_return.unfold(0, horizon, horizon)
        ratio = realised.realised_variance(ahead, dt) / column[::horizon][: len(ahead)]
        losses.append(float((ratio - ratio.log() - 1).mean()))
    return losses
