"""The report's pictures of a policy at work: one simulated path, and its bands against the spot for a single option.

They show the first linear instrument of the contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from agents.card import Model
from agents.learned import Learned, Untrained
from envs import book as books
from envs import decision, funding, marks, scene
from envs.contract import Contract
from envs.custody import Custodian
from envs.decision import Band
from envs.hedging import HedgingWorld
from envs.instrument import Terms
from envs.instruments.option import Option, OptionTerms
from envs.instruments.perpetual import Perpetual
from envs.observation import Observation
from envs.portfolio import Portfolio
from envs.seeding import generators
from envs.task import Task
from envs.types import mapped
from envs.volatility.memory import Memory
from train import history
from train.drawing import DASHED, DOTTED, LINES, MARKERS, SOLID, STYLE, Array, Picture, array, kept, panels

MONEYNESS = "log(spot / strike), standard deviations to expiry"
HOLDING = (
    "The book holds the tuned centre; calm and turbulent are medians of the extreme tenths of simulated decisions."
)
REACH, GRID = 2.5, 61  # of the policy's pictures: standard deviations to either side, and points
AGES = (0.75, 0.25, 1 / 15)  # of the option's life left in the policy's pictures
EXTREME = 0.1  # share of decisions that stand for calm, and for turbulent
PATHS, WILD = 32, 0.9  # simulated, of which one is shown: its spot ranged further than this share of them


@dataclass(frozen=True)
class Frame:
    """A decision on P paths, one book on each."""

    seen: Observation
    band: Band
    order: Tensor  # (P, 1, K) over the base units of the book


@matplotlib.rc_context(STYLE)
def of_policy(model: Model, seed: int) -> list[Picture]:
    """One simulated path in detail; for a single option also the band against moneyness, and against action 0's."""
    frames, final = recorded(model, PATHS, seed)
    shown = [_one_path(model, frames, final)]
    if not single_option(model.card.task):
        return shown
    memories = {"calm": _typical(frames, calm=True), "turbulent": _typical(frames, calm=False)}
    named = {f"{key}: P(not calm) = {1 - float(m.probability[0, 0]):.2f}": m for key, m in memories.items()}
    return [*shown, _bands(model, named), _actions(model, named)]


def single_option(task: Task) -> bool:
    """Whether one option is hedged with one perpetual in a calibrated market: what a grid of spots can show."""
    contract = task.contract
    if len(contract.claims) > 1 or len(contract.hedges) > 1 or not history.calibrated(task):
        return False
    (claim,), (hedge,) = contract.claims, contract.hedges
    fixed = isinstance(claim.units, float) and claim.count == 1
    return fixed and isinstance(claim.instrument, Option) and isinstance(hedge.instrument, Perpetual)


@torch.no_grad()
def recorded(model: Model, paths: int, seed: int) -> tuple[list[Frame], Tensor]:
    """Every decision of the policy on `paths` simulated paths from start to end, and the final losses (P,)."""
    task = model.card.task
    (generator,) = generators(seed, 1)
    world = task.world(paths, 1, generator)
    world.reset(staggered=False)
    agent = Learned(model.network)
    return [_frame(world, agent) for _ in range(task.contract.decisions)], world.episode.loss[:, 0]


def _frame(world: HedgingWorld, agent: Learned) -> Frame:
    """The decision at hand, which is then carried out."""
    seen, now = world.observation, world.episode
    band = agent.band(seen)
    order = decision.orders(band, seen.scene, world.lots()).masked_fill(now.book.liquidated, 0.0)
    world.advance(band)
    return Frame(seen, band, order / seen.scene.columns(now.portfolio.base))


def _one_path(model: Model, frames: Sequence[Frame], final: Tensor) -> Picture:
    """The path whose spot ranged further than WILD of them."""
    contract = model.card.task.contract
    shown = _first_linear(contract)
    asset = contract.hedges[shown].instrument.asset
    views = [frame.seen.scene.views[asset] for frame in frames]
    logs = torch.stack([view.quote.spot for view in views]).log()
    path = int((logs.amax(0) - logs.amin(0)).argsort()[int(WILD * len(final))])
    life = contract.life * 365
    days = np.linspace(0, life, len(frames), endpoint=False)
    figure, axes = panels(4, height=8.0, width=7.5, height_ratios=(2, 3, 1.3, 1.5))
    price = 100 * array((logs[:, path] - logs[0, path]).exp())
    axes[0].plot(days, price, label="spot", **SOLID)
    if single_option(model.card.task):
        strike = frames[0].seen.scene.book.terms[0].strike[path, 0] / views[0].quote.spot[path]
        axes[0].axhline(100 * float(strike), label="strike", **DASHED)
    trade = _draw_position(axes[1], days, frames, path, shown)
    axes[2].vlines(days, 0, trade, color="black", linewidth=1.4)
    restless = [1 - float(view.memory.probability[path, 0]) for view in views]
    axes[3].plot(days, restless, label="filtered probability of other than the calm regime", **SOLID)
    axes[3].plot(days, [float(view.quote.congestion[path]) for view in views], label="congestion", **DOTTED)
    _label(axes, life, contract.hedges[shown].instrument.kind)
    ranged = f"spot from 100 to {price[-1]:.0f}, between {price.min():.0f} and {price.max():.0f}"
    told = f"{np.count_nonzero(trade)} trades at {len(frames)} decisions; final loss {1e4 * final[path]:,.0f} bp."
    chosen = f"Of {len(final)} simulated paths, one whose spot ranged further than {WILD:.0%}: no evidence by itself."
    caption = f"{chosen} {told}{_others(contract, shown)}"
    return kept(figure, f"One simulated path: {ranged}; {told}", caption, wide=True)


def _label(axes: Sequence[Axes], life: float, kind: str) -> None:
    unit = "per unit of the book"
    labels = ("spot,\nstart = 100", f"{kind} {unit}", "trade,\nper unit", "share")
    for axis, label in zip(axes, labels, strict=True):
        axis.set(ylabel=label, xlim=(-0.01 * life, life))
        axis.tick_params(labelbottom=axis is axes[3])
    for axis in (axes[0], axes[1], axes[3]):
        axis.legend(ncols=3)
    axes[3].set(xlabel="days since the start", ylim=(0, 1.25), yticks=(0, 0.5, 1))


def _others(contract: Contract, shown: int) -> str:
    """Which instruments are not shown."""
    rest = [hedge.instrument for k, hedge in enumerate(contract.hedges) if k != shown]
    if not rest:
        return ""
    first = contract.hedges[shown].instrument
    named = ", ".join(f"{each.kind} on asset {each.asset}" for each in rest)
    return f" Shown: the {first.kind} on asset {first.asset}; not shown: {named}."


def _draw_position(axis: Axes, days: Array, frames: Sequence[Frame], path: int, shown: int) -> Array:
    """PPO's band, the hedge after each decision, and what is neutral; returns the trades."""
    at = (path, 0, shown)
    rows = [
        (f.band.lower[at], f.band.upper[at], (f.seen.hedge + f.order)[at], f.order[at], f.seen.neutral[at])
        for f in frames
    ]
    lower, upper, held, trade, neutral = (array(torch.stack(column)) for column in zip(*rows, strict=True))
    axis.fill_between(days, lower, upper, step="post", color="0.85", label="PPO's band")
    axis.step(days, held, where="post", label="held", **SOLID)
    axis.plot(days, neutral, label="delta neutral", **DOTTED)
    axis.margins(y=0.2)
    return trade


def _bands(model: Model, memories: dict[str, Memory]) -> Picture:
    figure, axes = panels(2, height=6.0)
    span, bars = list(_ages(model).items())[-2:][0]
    for axis, (title, memory) in zip(axes, memories.items(), strict=True):
        x, seen, learned, start = _view(model, memory, bars)
        ends = (learned.lower, learned.upper, start.lower, start.upper)
        low, high, *tuned = (array((end - seen.neutral)[:, 0, 0]) for end in ends)
        axis.fill_between(x, low, high, color="0.87", edgecolor="black", linewidth=1.8, label="PPO")
        for end, label in zip(tuned, ("action 0: tuned Zakamouline", None), strict=True):
            axis.plot(x, end, label=label, **DASHED)
        axis.axhline(0, label="delta", **DOTTED)
        axis.set(title=title, ylabel="hedge less delta,\nper unit of the book")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    axes[1].set_xlabel(MONEYNESS)
    what = f"where the hedge may rest, less delta, with {span} to expiry"
    return kept(figure, f"Learned and tuned band: {what}; {'; '.join(memories)}.", f"{what.capitalize()}. {HOLDING}")


def _actions(model: Model, memories: dict[str, Memory]) -> Picture:
    figure, axes = panels(4, height=7.8)
    told: list[str] = []
    for (title, memory), centre, width in zip(memories.items(), axes[::2], axes[1::2], strict=True):
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
    return kept(figure, alt, f"Against action 0, the tuned Zakamouline band (grey lines at 0 and 1). {HOLDING}")


@torch.no_grad()
def _view(model: Model, memory: Memory, bars: int) -> tuple[Array, Observation, Band, Band]:
    """Moneyness (GRID,), what is seen there with `bars` left, and the bands of the policy and of action 0."""
    x = torch.linspace(-REACH, REACH, GRID)
    flat = _observed(model, memory, bars, x, torch.zeros(GRID, 1, 1))
    seen = _observed(model, memory, bars, x, flat.centre)
    return array(x), seen, Learned(model.network).band(seen), Untrained().band(seen)


def _observed(model: Model, memory: Memory, bars: int, moneyness: Tensor, hedge: Tensor) -> Observation:
    """A single option's book at `moneyness` (GRID,), holding `hedge` (GRID, 1, 1) that was just bought at the mark."""
    task, observer = model.card.task, model.observer
    contract, calibration, one = task.contract, observer.calibrations[0], torch.ones_like(moneyness)
    (claim,) = contract.claims
    assert isinstance(claim.units, float), "one of single_option's"
    remembered = mapped(lambda value: value.expand(GRID, *value.shape[1:]), memory)
    usual = funding.funding_rate(calibration.funding.mean_premium * one)
    quote = marks.quote(calibration, observer.filters[0], remembered, one, one, one, one, usual)
    views = observer.views((quote,), (remembered,))
    left = torch.full((GRID, 1), bars)
    strike = torch.exp(-moneyness * quote.implied_volatility * (bars * contract.bar) ** 0.5)
    base = contract.notional * one
    units = claim.units * base[:, None]
    held = Portfolio(left[:, 0], (base,), (units,), (OptionTerms(left, strike[:, None]),), (torch.zeros_like(one),))
    traded = scene.traded(contract, (Terms(left),), views)
    bought = base[:, None, None] * hedge
    book = books.opened(torch.zeros_like(one), 1, 1)
    book = replace(book, units=bought, cash=-bought * traded.mark[:, None])
    cushion = Custodian(contract).cushion(book, held, traded, views)
    worth = torch.zeros(GRID, 1) if contract.numeraire == "coin" else None
    return observer.observe(
        scene.Scene(contract, views, held, traded, bought), cushion, worth, loss=torch.zeros(GRID, 1)
    )


def _in_units(model: Model, memory: Memory, bars: int) -> tuple[Array, Array, Array]:
    """Moneyness, how far the policy moves the band's centre in half-widths, and the multiple of its half-width."""
    x, _, learned, start = _view(model, memory, bars)
    half, unit = ((band.upper - band.lower)[:, 0, 0] / 2 for band in (learned, start))
    moved = (learned.upper + learned.lower - start.upper - start.lower)[:, 0, 0] / 2 / unit
    return x, array(moved), array(half / unit)


def _typical(frames: Sequence[Frame], calm: bool) -> Memory:
    """The median memory (1, …) of the decisions with the most extreme probability of the calm regime."""
    every = [frame.seen.scene.views[0].memory for frame in frames]
    pooled = mapped(lambda *parts: torch.cat(parts), every[0], *every[1:])
    order = pooled.probability[:, 0].argsort(descending=calm)[: max(1, int(EXTREME * len(pooled.bars)))]
    memory = mapped(lambda column: column[order].median(dim=0, keepdim=True).values, pooled)
    return replace(memory, probability=memory.probability / memory.probability.sum())


def _ages(model: Model) -> dict[str, int]:
    """Bars left, by their name in words."""
    contract = model.card.task.contract
    return {f"{left * contract.bar * 365:.3g} days": left for left in (max(1, round(s * contract.bars)) for s in AGES)}


def _first_linear(contract: Contract) -> int:
    return next(k for k, hedge in enumerate(contract.hedges) if hedge.instrument.linear)
