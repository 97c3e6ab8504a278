"""The report's pictures: matplotlib figures without pyplot, kept as SVG. They read in black and white."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from agents.card import Card, Model
from agents.delta import Delta
from agents.learned import Learned, Untrained
from envs import decision, funding, marks, shocks, simulated
from envs.decision import Band
from envs.hedging import HedgingWorld
from envs.observation import Observation, Option
from envs.seeding import generators
from envs.volatility.memory import Memory
from train import tune
from train.evaluate import Judgement
from train.statistics import Interval

Array = NDArray[np.float64]
STYLE: dict[str, Any] = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "grid.color": "0.88",
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.handlelength": 3.2,
    "lines.markersize": 4.5,
    "svg.hashsalt": "rehedge",  # the same numbers give the same file
}
LINES: tuple[dict[str, Any], ...] = (
    {"color": "black", "linestyle": "-", "linewidth": 1.8},
    {"color": "#0062a8", "linestyle": "--", "linewidth": 1.5},
    {"color": "#c44d00", "linestyle": ":", "linewidth": 2.0},
)
MARKERS, HATCHES = ("o", "s", "^"), ("", "////", "....")
MEASURES = {"measure": "measure", "es95": "ES95", "y": "Y"}
LOSS = "final loss, bp of notional (a gain is negative)"
MONEYNESS = "log(spot / strike), standard deviations to expiry"
HOLDING = "The book holds the tuned band's centre; calm and turbulent are medians of the extreme tenths of simulated decisions."
BODY = 0.002  # of the losses at either end that the histogram leaves to the tail's picture
TAIL = 0.2  # share of the worst losses that the tail's picture shows
REACH, GRID = 2.5, 61  # of the policy's picture: standard deviations to either side, and points
AGES = (0.75, 0.25, 1 / 15)  # of the option's life left in the policy's picture
EXTREME = 0.1  # share of decisions that stand for calm, and for turbulent
PATHS = 32  # of which one is shown


@dataclass(frozen=True)
class Picture:
    """A drawn figure, what it shows in words, and how to read it."""

    svg: bytes
    alt: str
    caption: str
    wide: bool = False

    @property
    def uri(self) -> str:
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg).decode()}"


@dataclass(frozen=True)
class Frame:
    """A decision on P paths, (P,) each; hedges are per unit of option."""

    spot: Tensor
    delta: Tensor
    lower: Tensor
    upper: Tensor
    held: Tensor  # after the trade
    trade: Tensor
    stress: Tensor
    memory: Memory


def best_band(card: Card) -> str:
    """Name of the tuned band that did best where it was tuned."""
    return tune.TUNABLE[card.opponents.best][0](1.0).name


@matplotlib.rc_context(STYLE)
def of_judgement(judgement: Judgement, card: Card, others: dict[str, str]) -> list[Picture]:
    """Losses, their tail, and the paired differences; `others` says what to call each key of `versus`."""
    names = (Learned.name, best_band(card), Delta.name)
    columns = {name: 1e4 * _array(judgement.outcome.loss[:, judgement.agents.index(name)]) for name in names}
    return [_losses(judgement, columns), _tail(judgement, columns), _differences(judgement, others)]


@matplotlib.rc_context(STYLE)
def of_policy(model: Model, seed: int) -> list[Picture]:
    """One simulated path in detail, the band against moneyness, and its centre and width against action 0's."""
    frames, final = recorded(model, PATHS, seed)
    scenes = {"calm": _typical(frames, calm=True), "turbulent": _typical(frames, calm=False)}
    named = {f"{key}: P(not calm) = {1 - float(m.probability[0, 0]):.2f}": m for key, m in scenes.items()}
    return [_one_path(model, frames, final), _bands(model, named), _actions(model, named)]


@torch.no_grad()
def recorded(model: Model, paths: int, seed: int) -> tuple[list[Frame], Tensor]:
    """Every decision of the policy on `paths` simulated paths from start to expiry, and the final losses (P,)."""
    card = model.card
    (generator,) = generators(seed, 1)
    world = simulated.world(card.calibration, card.contract, card.objective, paths, 1, generator)
    world.reset(staggered=False)
    agent = Learned(model.network)
    return [_frame(world, agent) for _ in range(card.contract.decisions)], world.episode.loss[:, 0]


def _frame(world: HedgingWorld, agent: Learned) -> Frame:
    """The decision at hand, which is then carried out."""
    seen, now = world.observation, world.episode
    band = agent.band(seen)
    trade = decision.order(band, seen.hedge, now.option.units, world.lot(now.option)) / now.option.units[:, None]
    stress = shocks.stress(world.observer.calibration.liquidity, now.memory.excitement)
    hedges = (column[:, 0] for column in (band.lower, band.upper, seen.hedge + trade, trade))
    world.advance(band)
    return Frame(seen.spot, seen.delta, *hedges, stress, now.memory)


def _losses(judgement: Judgement, columns: dict[str, Array]) -> Picture:
    pooled = np.concatenate(list(columns.values()))
    low, high = np.quantile(pooled, [BODY, 1 - BODY])
    edges = np.linspace(low, high, int(np.clip(len(pooled) ** 0.5 / 3, 12, 70)))
    figure, (axis,) = _figure(1, height=3.7)
    for (name, values), line in zip(columns.items(), LINES, strict=True):
        axis.stairs(100 * np.histogram(values, edges)[0] / len(values), edges, label=name, baseline=None, **line)
    axis.set(xlabel=LOSS, ylabel="share of losses in each bin, %")
    axis.legend()
    told = "; ".join(f"{name} {np.median(v):,.0f} and {v.std():,.0f}" for name, v in columns.items())
    alt = f"Histogram of final losses on {judgement.where}. Median and standard deviation, bp of notional: {told}."
    return _picture(figure, alt, f"Final losses; the outermost {BODY:.1%} at either end are left out.")


def _tail(judgement: Judgement, columns: dict[str, Array]) -> Picture:
    count = len(judgement.outcome.loss)
    ranks = np.unique(np.geomspace(1, max(1, TAIL * count), 150).astype(int))
    figure, (axis,) = _figure(1, height=3.7)
    for (name, values), line, marker in zip(columns.items(), LINES, MARKERS, strict=True):
        axis.semilogy(-np.sort(-values)[ranks - 1], ranks / count, label=name, marker=marker, markevery=12, **line)
    axis.axhspan(0.5 / count, 1 / min(judgement.effective, count), color="0.9", zorder=0)
    axis.set(xlabel=LOSS, ylabel="share of losses at least as large", ylim=(0.5 / count, 1.5 * TAIL))
    axis.legend()
    told = "; ".join(f"{name} {np.quantile(v, 0.99):,.0f} and {v.max():,.0f}" for name, v in columns.items())
    alt = f"Tail of the losses on {judgement.where}. 99 % quantile and worst, bp of notional: {told}."
    caption = "The worst fifth of losses; lower is better. Grey: rarer than once in the effective sample."
    return _picture(figure, alt, caption)


def _differences(judgement: Judgement, others: dict[str, str]) -> Picture:
    figure, axes = _figure(len(judgement.versus), height=4.8)
    told = []
    for axis, (key, row) in zip(axes, judgement.versus.items(), strict=True):
        for place, (measure, label) in enumerate(MEASURES.items()):
            _bar(axis, -place, row[measure], HATCHES[place])
            told.append(f"{label} against {others[key]} {1e4 * row[measure].diff:.3g}")
        axis.axvline(0, color="black", linewidth=1)
        axis.set(title=f"PPO minus {others[key]}", yticks=[0, -1, -2], yticklabels=list(MEASURES.values()))
        axis.margins(x=0.1)
        axis.grid(visible=False, axis="y")
    axes[-1].set_xlabel("difference, bp of notional (negative: PPO is better)")
    alt = f"PPO minus other hedges on {judgement.where}, bp of notional: {'; '.join(told)}."
    caption = "Paired differences with 95 % intervals; each panel has its own scale, the vertical line is zero."
    return _picture(figure, alt, caption)


def _bar(axis: Axes, place: int, found: Interval, hatch: str) -> None:
    axis.barh(place, 1e4 * found.diff, height=0.6, color="0.85", edgecolor="0.4", hatch=hatch)
    ends = (1e4 * found.low, 1e4 * found.high)
    axis.plot(ends, (place, place), color="black", linewidth=1.8, marker="|", markersize=11)


def _one_path(model: Model, frames: Sequence[Frame], final: Tensor) -> Picture:
    """The path whose spot ranged furthest."""
    spots = torch.stack([frame.spot for frame in frames]).log()
    path = int((spots.amax(0) - spots.amin(0)).argmax())
    shown = {name: _series(frames, name, path) for name in vars(frames[0]) if name != "memory"}
    days = np.arange(len(frames)) * model.card.contract.decision_bars * model.card.contract.bar * 365
    figure, axes = _figure(4, height=8.0, width=7.5, heights=(2, 3, 1.3, 1.5))
    price = 100 * shown["spot"] / shown["spot"][0]
    _draw_position(axes, days, price, shown)
    _draw_regimes(axes[3], days, _array(torch.stack([f.memory.probability[path] for f in frames])), shown["stress"])
    trades, loss = int((shown["trade"] != 0).sum()), 1e4 * float(final[path])
    told = f"{trades} trades at {len(frames)} decisions; final loss {loss:,.0f} bp of notional."
    alt = f"One simulated path: spot from 100 to {price[-1]:.0f}, between {price.min():.0f} and {price.max():.0f}; {told}"
    caption = f"Of {len(final)} simulated paths the one whose spot ranged furthest, to show the policy at work: not evidence."
    return _picture(figure, alt, f"{caption} {told}", wide=True)


def _draw_position(axes: Sequence[Axes], days: Array, price: Array, shown: dict[str, Array]) -> None:
    """Price; band, hedge and delta; trades."""
    axes[0].plot(days, price, label="spot", **LINES[0])
    axes[0].axhline(100, label="strike", **LINES[1])
    axes[0].set_ylabel("spot,\nstart = 100")
    axes[1].fill_between(days, shown["lower"], shown["upper"], step="post", color="0.85", label="PPO's band")
    axes[1].step(days, shown["held"], where="post", label="perpetual held", **LINES[0])
    axes[1].plot(days, shown["delta"], label="delta", **LINES[2])
    axes[1].set(ylabel="perpetual per unit of option", ylim=(-0.25, 1.25))
    axes[2].vlines(days, 0, shown["trade"], color="black", linewidth=1.4)
    axes[2].set_ylabel("trade,\nper unit")
    for axis in axes[:3]:
        axis.tick_params(labelbottom=False)
        axis.set_xlim(days[0], days[-1])


def _draw_regimes(axis: Axes, days: Array, probability: Array, stress: Array) -> None:
    for regime, line in zip(range(1, probability.shape[1]), LINES, strict=False):
        axis.plot(days, probability[:, regime], label=f"filtered probability of regime {regime}", **line)
    axis.plot(days, stress, label="stress", **LINES[2])
    axis.set(xlabel="days since the option was sold", ylabel="share", ylim=(0, 1), xlim=(days[0], days[-1]))
    for below in axis.figure.axes[:2] + [axis]:
        below.legend(loc="best", ncols=3)


def _bands(model: Model, scenes: dict[str, Memory]) -> Picture:
    bars = _bars_left(model, AGES[1])
    figure, axes = _figure(2, height=6.0)
    for axis, (title, memory) in zip(axes, scenes.items(), strict=True):
        x, seen, learned, start = _view(model, memory, bars)
        edges = [_array(edge[:, 0]) for edge in (learned.lower, learned.upper, start.lower, start.upper)]
        axis.fill_between(x, edges[0], edges[1], color="0.87", label="PPO's band")
        axis.plot(x, edges[0], x, edges[1], **LINES[0])
        axis.plot(x, edges[2], label="action 0: tuned Zakamouline", **LINES[1])
        axis.plot(x, edges[3], **LINES[1])
        axis.plot(x, _array(seen.delta), label="delta", **LINES[2])
        axis.set(title=title, ylabel="perpetual per unit of option", ylim=(-0.3, 1.3))
    axes[0].legend(loc="upper left")
    axes[1].set_xlabel(MONEYNESS)
    what = f"with {_span(model, bars)} to expiry"
    alt = f"The learned no-transaction band, the tuned band and delta against moneyness {what}; {'; '.join(scenes)}."
    return _picture(figure, alt, f"Where the hedge may rest {what}. {HOLDING}")


def _actions(model: Model, scenes: dict[str, Memory]) -> Picture:
    figure, axes = _figure(4, height=7.8)
    told = []
    for place, (title, memory) in enumerate(scenes.items()):
        centre, width = axes[2 * place : 2 * place + 2]
        for age, line, marker in zip(AGES, LINES, MARKERS, strict=True):
            x, moved, ratio = _in_units(model, memory, bars := _bars_left(model, age))
            style = {**line, "marker": marker, "markevery": 6}
            centre.plot(x, moved, label=_span(model, bars), **style)
            width.plot(x, ratio, **style)
            told.append(f"{title}, {_span(model, bars)}: {moved[GRID // 2]:+.2f} and ×{ratio[GRID // 2]:.2f}")
        centre.axhline(0, color="0.4", linewidth=1)
        width.axhline(1, color="0.4", linewidth=1)
        centre.set(title=title, ylabel="centre moved,\nhalf-widths")
        width.set(ylabel="half-width,\nmultiple", yscale="log")
    axes[0].legend(title="to expiry", ncols=3)
    axes[-1].set_xlabel(MONEYNESS)
    alt = f"PPO's centre and half-width at the money, in the tuned band's half-widths. {'; '.join(told)}."
    return _picture(figure, alt, f"The same against action 0, the tuned Zakamouline band: grey lines at 0 and 1. {HOLDING}")


@torch.no_grad()
def _view(model: Model, memory: Memory, bars: int) -> tuple[Array, Observation, Band, Band]:
    """Moneyness (GRID,), what is seen there with `bars` left, and the bands of the policy and of action 0."""
    calibration, observer = model.card.calibration, model.observer
    x = torch.linspace(-REACH, REACH, GRID)
    spread = Memory(*(value.expand(GRID, *value.shape[1:]) for value in vars(memory).values()))
    spot = torch.ones_like(x)
    usual = funding.funding_rate(torch.full_like(x, calibration.funding.mean_premium))
    quote = marks.quote(calibration, observer.filter, spread, spot, spot, usual)
    deviation = quote.implied_volatility * (bars * model.card.contract.bar) ** 0.5
    option = Option(torch.exp(-x * deviation), spot, torch.full_like(spread.bars, bars))
    centre = observer.observe(quote, spread, option, spot[:, None]).band_delta
    seen = observer.observe(quote, spread, option, centre[:, None])
    return _array(x), seen, Learned(model.network).band(seen), Untrained().band(seen)


def _in_units(model: Model, memory: Memory, bars: int) -> tuple[Array, Array, Array]:
    """Moneyness, how far the policy moves the band's centre in half-widths, and the multiple of its half-width."""
    x, _, learned, start = _view(model, memory, bars)
    half, unit = ((band.upper - band.lower)[:, 0] / 2 for band in (learned, start))
    moved = (learned.upper + learned.lower - start.upper - start.lower)[:, 0] / 2 / unit
    return x, _array(moved), _array(half / unit)


def _typical(frames: Sequence[Frame], calm: bool) -> Memory:
    """The median memory (1, …) of the decisions with the most extreme probability of the calm regime."""
    pooled = [torch.cat(column) for column in zip(*(vars(frame.memory).values() for frame in frames), strict=True)]
    order = pooled[0][:, 0].argsort(descending=calm)[: max(1, int(EXTREME * len(pooled[0])))]
    memory = Memory(*(column[order].median(dim=0, keepdim=True).values for column in pooled))
    return Memory(memory.probability / memory.probability.sum(), memory.variance, memory.excitement, memory.bars)


def _bars_left(model: Model, share: float) -> int:
    return max(1, round(share * model.card.contract.option_bars))


def _span(model: Model, bars: int) -> str:
    return f"{bars * model.card.contract.bar * 365:.3g} days"


def _series(frames: Sequence[Frame], name: str, path: int) -> Array:
    return _array(torch.stack([getattr(frame, name)[path] for frame in frames]))


def _array(values: Tensor) -> Array:
    return np.asarray(values.double().numpy())


def _figure(rows: int, height: float, width: float = 5.4, heights: Sequence[float] | None = None) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(rows, 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    return figure, list(grid[:, 0])


def _picture(figure: Figure, alt: str, caption: str, wide: bool = False) -> Picture:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return Picture(buffer.getvalue(), alt, caption, wide)
