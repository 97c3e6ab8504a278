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

from agents.card import Model
from agents.learned import Learned, Untrained
from envs import decision, funding, marks, shocks, simulated
from envs.decision import Band
from envs.hedging import HedgingWorld
from envs.observation import Observation, Option
from envs.seeding import generators
from envs.volatility.memory import Memory
from train.evaluate import Judgement

Array = NDArray[np.float64]
STYLE: Any = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "grid.color": "0.88",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.handlelength": 3.2,
    "lines.markersize": 4.5,
    "svg.hashsalt": "rehedge",  # no random names
}
SOLID: dict[str, Any] = {"color": "black", "linestyle": "-", "linewidth": 1.8}
DASHED: dict[str, Any] = {"color": "#0062a8", "linestyle": "--", "linewidth": 1.5}
DOTTED: dict[str, Any] = {"color": "#c44d00", "linestyle": ":", "linewidth": 2.0}
LINES, MARKERS = (SOLID, DASHED, DOTTED), ("o", "s", "^")
MEASURES = {"measure": "measure", "es95": "ES95", "y": "Y"}
LOSS = "final loss, bp of notional (a gain is negative)"
HEDGE = "perpetual per unit of option"
MONEYNESS = "log(spot / strike), standard deviations to expiry"
HOLDING = (
    "The book holds the tuned centre; calm and turbulent are medians of the extreme tenths of simulated decisions."
)
BODY = 0.005  # of the losses at either end that the histogram leaves to the tail's picture
TAIL = 0.2  # share of the worst losses that the tail's picture shows
REACH, GRID = 2.5, 61  # of the policy's pictures: standard deviations to either side, and points
AGES = (0.75, 0.25, 1 / 15)  # of the option's life left in the policy's pictures
EXTREME = 0.1  # share of decisions that stand for calm, and for turbulent
PATHS, WILD = 32, 0.9  # simulated, of which one is shown: its spot ranged further than this share of them


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
    """A decision on P paths, one book on each."""

    seen: Observation
    memory: Memory
    band: Band
    trade: Tensor  # (P, 1) per unit of option


@matplotlib.rc_context(STYLE)
def of_judgement(judgement: Judgement, names: Sequence[str], others: dict[str, str]) -> list[Picture]:
    """Losses and their tail of the three agents `names`, and what PPO is to `others`: key of `versus` → its name."""
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
    world.advance(band)
    return Frame(seen, now.memory, band, trade)


def _losses(judgement: Judgement, columns: dict[str, Array]) -> Picture:
    low, high = np.quantile(np.concatenate(list(columns.values())), [BODY, 1 - BODY])
    edges = np.linspace(low, high, int(np.clip(len(judgement.outcome.loss) ** 0.5 / 2, 12, 70)))
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
    told: list[str] = []
    for axis, (key, row) in zip(axes, judgement.versus.items(), strict=True):
        for place, (measure, label) in enumerate(MEASURES.items()):
            found = row[measure]
            axis.barh(-place, 1e4 * found.diff, height=0.6, color="0.85", edgecolor="0.4")
            axis.plot((1e4 * found.low, 1e4 * found.high), (-place, -place), "k|-", linewidth=1.8, markersize=11)
            told.append(f"{label} against {others[key]} {1e4 * found.diff:.3g}")
        axis.axvline(0, color="black", linewidth=1)
        axis.set(title=f"PPO minus {others[key]}", yticks=[0, -1, -2], yticklabels=list(MEASURES.values()))
        axis.margins(x=0.1)
    axes[-1].set_xlabel("difference, bp of notional (negative: PPO is better)")
    alt = f"PPO minus other hedges on {judgement.where}, bp of notional: {'; '.join(told)}."
    caption = "Paired differences with 95 % intervals; each panel has its own scale, the vertical line is zero."
    return _picture(figure, alt, caption)


def _one_path(model: Model, frames: Sequence[Frame], final: Tensor) -> Picture:
    """The path whose spot ranged further than WILD of them."""
    logs = torch.stack([frame.seen.spot for frame in frames]).log()
    path = int((logs.amax(0) - logs.amin(0)).argsort()[int(WILD * len(final))])
    life = model.card.contract.life * 365
    days = np.linspace(0, life, len(frames), endpoint=False)
    figure, axes = _figure(4, height=8.0, width=7.5, height_ratios=(2, 3, 1.3, 1.5))
    price = 100 * _array((logs[:, path] - logs[0, path]).exp())
    axes[0].plot(days, price, label="spot", **SOLID)
    axes[0].axhline(100, label="strike", **DASHED)
    trade = _draw_position(axes[1], days, frames, path)
    axes[2].vlines(days, 0, trade, color="black", linewidth=1.4)
    regimes = torch.stack([frame.memory.probability[path] for frame in frames]).unbind(-1)
    for number, (probability, line) in enumerate(zip(regimes[1:], LINES, strict=False), 1):
        axes[3].plot(days, probability, label=f"filtered probability of regime {number}", **line)
    stress = [shocks.stress(model.card.calibration.liquidity, frame.memory.excitement[path]) for frame in frames]
    axes[3].plot(days, stress, label="stress", **DOTTED)
    for axis, label in zip(axes, ("spot,\nstart = 100", HEDGE, "trade,\nper unit", "share"), strict=True):
        axis.set(ylabel=label, xlim=(-0.01 * life, life))
        axis.tick_params(labelbottom=axis is axes[3])
    for axis in (axes[0], axes[1], axes[3]):
        axis.legend(ncols=3)
    axes[3].set(xlabel="days since the option was sold", ylim=(0, 1.25), yticks=(0, 0.5, 1))
    ranged = f"spot from 100 to {price[-1]:.0f}, between {price.min():.0f} and {price.max():.0f}"
    told = f"{np.count_nonzero(trade)} trades at {len(frames)} decisions; final loss {1e4 * final[path]:,.0f} bp."
    chosen = f"Of {len(final)} simulated paths, one whose spot ranged further than {WILD:.0%}: no evidence by itself."
    return _picture(figure, f"One simulated path: {ranged}; {told}", f"{chosen} {told}", wide=True)


def _draw_position(axis: Axes, days: Array, frames: Sequence[Frame], path: int) -> Array:
    """PPO's band, the hedge after each decision, and delta; returns the trades."""
    chosen = [(f.band.lower, f.band.upper, f.seen.hedge + f.trade, f.trade, f.seen.delta[:, None]) for f in frames]
    lower, upper, held, trade, delta = (_array(torch.cat([row[path] for row in c])) for c in zip(*chosen, strict=True))
    axis.fill_between(days, lower, upper, step="post", color="0.85", label="PPO's band")
    axis.step(days, held, where="post", label="perpetual held", **SOLID)
    axis.plot(days, delta, label="delta", **DOTTED)
    axis.set_ylim(-0.25, 1.35)
    return trade


def _bands(model: Model, scenes: dict[str, Memory]) -> Picture:
    figure, axes = _figure(2, height=6.0)
    span, bars = list(_ages(model).items())[-2:][0]
    for axis, (title, memory) in zip(axes, scenes.items(), strict=True):
        x, seen, learned, start = _view(model, memory, bars)
        ends = (learned.lower, learned.upper, start.lower, start.upper)
        low, high, *tuned = (_array(end[:, 0] - seen.delta) for end in ends)
        axis.fill_between(x, low, high, color="0.87", edgecolor="black", linewidth=1.8, label="PPO")
        for end, label in zip(tuned, ("action 0: tuned Zakamouline", None), strict=True):
            axis.plot(x, end, label=label, **DASHED)
        axis.axhline(0, label="delta", **DOTTED)
        axis.set(title=title, ylabel="hedge less delta,\n" + HEDGE)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    axes[1].set_xlabel(MONEYNESS)
    what = f"where the hedge may rest, less delta, with {span} to expiry"
    return _picture(figure, f"Learned and tuned band: {what}; {'; '.join(scenes)}.", f"{what.capitalize()}. {HOLDING}")


def _actions(model: Model, scenes: dict[str, Memory]) -> Picture:
    figure, axes = _figure(4, height=7.8)
    told: list[str] = []
    for (title, memory), centre, width in zip(scenes.items(), axes[::2], axes[1::2], strict=True):
        centre.update_datalim([(0, -0.5), (0, 0.5)])
        width.update_datalim([(0, 0.5), (0, 2)])
        for (span, bars), line, marker in zip(_ages(model).items(), LINES, MARKERS, strict=False):
            x, moved, ratio = _in_units(model, memory, bars)
            centre.plot(x, moved, label=span, marker=marker, markevery=6, **line)
            width.plot(x, ratio, marker=marker, markevery=6, **line)
            told.append(f"{title}, {span}: {moved[GRID // 2]:+.2f} and ×{ratio[GRID // 2]:.2f}")
        centre.axhline(0, color="0.4", linewidth=1)
        width.axhline(1, color="0.4", linewidth=1)
        width.set_yscale("log", base=2)
        width.yaxis.set_major_formatter("{x:g}")
        centre.set(title=title, ylabel="centre moved,\nhalf-widths")
        width.set(ylabel="half-width,\nmultiple")
    figure.legend(*axes[0].get_legend_handles_labels(), title="to expiry", loc="outside upper center", ncols=3)
    axes[-1].set_xlabel(MONEYNESS)
    alt = f"PPO's centre and half-width at the money, in the tuned band's half-widths. {'; '.join(told)}."
    return _picture(figure, alt, f"Against action 0, the tuned Zakamouline band (grey lines at 0 and 1). {HOLDING}")


@torch.no_grad()
def _view(model: Model, memory: Memory, bars: int) -> tuple[Array, Observation, Band, Band]:
    """Moneyness (GRID,), what is seen there with `bars` left, and the bands of the policy and of action 0."""
    calibration, observer = model.card.calibration, model.observer
    x = torch.linspace(-REACH, REACH, GRID)
    spot = torch.ones_like(x)
    spread = Memory(*(value.expand(GRID, *value.shape[1:]) for value in vars(memory).values()))
    usual = funding.funding_rate(calibration.funding.mean_premium * spot)
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


def _ages(model: Model) -> dict[str, int]:
    """Bars left, by their name in words."""
    whole, bar = model.card.contract.option_bars, model.card.contract.bar
    return {f"{left * bar * 365:.3g} days": left for left in (max(1, round(share * whole)) for share in AGES)}


def _array(values: Tensor) -> Array:
    return np.asarray(values.double().numpy())


def _figure(rows: int, height: float, width: float = 5.4, **grid: Any) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(rows, 1, squeeze=False, **grid)[:, 0])


def _picture(figure: Figure, alt: str, caption: str, wide: bool = False) -> Picture:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return Picture(buffer.getvalue(), alt, caption, wide)
