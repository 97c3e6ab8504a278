"""The policy as a picture: its band against moneyness, time and volatility, when the market is calm and when not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib
import torch
from matplotlib.axes import Axes
from torch import Tensor

from agents.base import Agent
from agents.card import Model
from agents.learned import Learned, Untrained
from envs import book as books
from envs import portfolio, scene
from envs.contract import Contract
from envs.custody import Custodian
from envs.observation import Observation
from envs.scene import Scene
from envs.types import Quote, added, mapped
from envs.volatility.memory import Memory
from train.drawing import DASHED, DOTTED, STYLE, Picture, array, kept, panels
from train.portrait import neutralised
from train.recorded import Recording

REACH, POINTS = 2.5, 41  # standard deviations to either side, and points of a line
AGE, LAST = 0.25, 0.04  # of the life, left where time does not vary, and left at its end where it does
STRETCH = 2.0  # volatility varies from a half of a typical one to twice it
TIME = "the time left"
EXTREME = 0.1  # share of the recorded decisions that stand for calm, and for turbulent
HOLDING = (
    "The hedge rests at the tuned centre; calm and turbulent are medians of the extreme tenths of decisions. "
    "Each panel has its own scale."
)


@dataclass(frozen=True)
class Mood:
    """A typical market: per asset a quote at a spot of 1, and a memory; all (1, …)."""

    quotes: tuple[Quote, ...]
    memories: tuple[Memory, ...]


@dataclass(frozen=True)
class Case:
    """N states of one book: how far the log spot of `asset` moved, volatility over the typical one, the bars left."""

    asset: int
    moved: Tensor  # (N,)
    stretch: Tensor  # (N,)
    bars: int


def drawable(contract: Contract) -> bool:
    """Whether the book at a later time follows from that at its start."""
    return not contract.rolling and not contract.arriving


@matplotlib.rc_context(STYLE)
@torch.no_grad()
def of_policy(model: Model, found: Recording) -> list[Picture]:
    """For each hedging instrument the band against moneyness, against time and against volatility."""
    moods = _moods(found)
    draw = (_against_moneyness, _against_time, _against_volatility)
    return [each(model, found, moods, k) for k in range(len(found.contract.hedges)) for each in draw]


def _against_moneyness(model: Model, found: Recording, moods: dict[str, Mood], place: int) -> Picture:
    contract, asset = found.contract, _asset(found, place)
    bars, x = _left(contract, AGE), torch.linspace(-REACH, REACH, POINTS)

    def cases(mood: Mood) -> list[Case]:
        deviation = mood.quotes[asset].implied_volatility * (bars * contract.bar) ** 0.5
        return [Case(asset, x * deviation, torch.ones_like(x), bars)]

    label = f"log(spot / first spot), standard deviations; {_days(contract, bars)} left"
    return _drawn(model, found, moods, place, x, cases, "moneyness", label)


def _against_time(model: Model, found: Recording, moods: dict[str, Mood], place: int) -> Picture:
    contract, one = found.contract, torch.ones(1)
    lefts = torch.linspace(1, LAST, POINTS)
    ages = sorted({_left(contract, float(share)) for share in lefts}, reverse=True)
    cases = [Case(_asset(found, place), 0 * one, one, bars) for bars in ages]
    days = torch.tensor(ages) * contract.bar * 365
    return _drawn(model, found, moods, place, days, lambda mood: cases, TIME, "days left, at the first spot")


def _against_volatility(model: Model, found: Recording, moods: dict[str, Mood], place: int) -> Picture:
    bars, x = _left(found.contract, AGE), STRETCH ** torch.linspace(-1, 1, POINTS)
    cases = [Case(_asset(found, place), 0 * x, x, bars)]
    label = f"volatility over the typical one, at the first spot, {_days(found.contract, bars)} left"
    return _drawn(model, found, moods, place, x, lambda mood: cases, "volatility", label)


def _drawn(
    model: Model,
    found: Recording,
    moods: dict[str, Mood],
    place: int,
    x: Tensor,
    cases: Callable[[Mood], Sequence[Case]],
    against: str,
    label: str,
) -> Picture:
    """A panel for each mood: PPO's band and action 0's, less what is neutral."""
    hedge = found.contract.hedges[place]
    name, greek = found.named(place), neutralised(hedge)
    figure, axes = panels(len(moods), 0.9 + 2.5 * len(moods), sharex=True)
    told: list[str] = []
    for axis, (title, mood) in zip(axes, moods.items(), strict=True):
        rows = [_edges(model, found, mood, case, place) for case in cases(mood)]
        low, high, *tuned = (torch.cat(column) for column in zip(*rows, strict=True))
        _panel(axis, x, low, high, tuned)
        axis.set(title=title, ylabel=f"less {greek}-neutral,\nper unit of the book")
        middle = len(x) // 2
        told.append(f"{title}, in the middle: from {float(low[middle]):+.3f} to {float(high[middle]):+.3f}")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    axes[-1].set_xlabel(label)
    if against == TIME:
        axes[-1].invert_xaxis()
    what = f"The {name}: where it may rest, less what is {greek}-neutral, against {against}"
    return kept(figure, f"{what}. {'; '.join(told)}.", f"{what}. {HOLDING}")


def _panel(axis: Axes, x: Tensor, low: Tensor, high: Tensor, tuned: Sequence[Tensor]) -> None:
    axis.fill_between(array(x), array(low), array(high), color="0.87", edgecolor="black", linewidth=1.6, label="PPO")
    for end, label in zip(tuned, ("action 0: tuned", None), strict=True):
        axis.plot(array(x), array(end), label=label, **DASHED)
    axis.axhline(0, label="neutral", **DOTTED)


def _edges(model: Model, found: Recording, mood: Mood, case: Case, place: int) -> tuple[Tensor, ...]:
    """(N,) each: PPO's ends and action 0's, less what is neutral."""
    seen = _observed(model, found, mood, case)
    hedgers: tuple[Agent, ...] = (Learned(model.network), Untrained())
    bands = [agent.band(seen) for agent in hedgers]
    return tuple((end - seen.neutral)[:, 0, place] for band in bands for end in (band.lower, band.upper))


def _observed(model: Model, found: Recording, mood: Mood, case: Case) -> Observation:
    """The book of the first recorded path in `case`, its hedges at their tuned centres and just bought."""
    contract, observer = found.contract, model.observer
    views = observer.views(*_market(found, mood, case))
    claims, terms = _book(found, case)
    traded = scene.traded(contract, terms, views)
    units = torch.zeros(len(case.moved), 1, len(contract.hedges))
    for _ in range(len(contract.hedges) + 1):  # what is neutral depends on the instruments before
        current = Scene(contract, views, claims, traded, units)
        value = added([each.value for each in current.exposures])
        book = replace(books.opened(-value, 1, units.shape[-1]), units=units, cash=-units * traded.mark[:, None])
        nothing = torch.zeros(len(case.moved), 1)
        worth = nothing if contract.numeraire == "coin" else None
        cushion = Custodian(contract).cushion(book, claims, traded, views)
        seen = observer.observe(current, cushion, worth, loss=nothing)
        units = seen.centre * current.columns(claims.base)
    return seen


def _book(found: Recording, case: Case) -> tuple[portfolio.Portfolio, tuple[Any, ...]]:
    """Claims and listed instruments as they are with so many bars left; what expired before is gone."""
    contract, start = found.contract, found.start
    claims, terms = mapped(lambda one: _spread(one, case), (start.portfolio, start.terms))
    gone = contract.bars - case.bars
    claims = portfolio.aged(contract, claims, gone)
    units = tuple(u * (t.bars_left > 0) for u, t in zip(claims.units, claims.terms, strict=True))
    each = zip(contract.hedges, terms, strict=True)
    return replace(claims, units=units), tuple(hedge.instrument.aged(own, gone) for hedge, own in each)


def _market(found: Recording, mood: Mood, case: Case) -> tuple[tuple[Quote, ...], tuple[Memory, ...]]:
    """Each asset's quote and memory; only the case's asset leaves its first spot."""
    quotes = []
    for asset, typical in enumerate(mapped(lambda one: _spread(one, case), mood.quotes)):
        moved = case.moved if asset == case.asset else torch.zeros_like(case.moved)
        spot = _spread(found.start.quotes[asset].spot, case) * moved.exp()
        implied = typical.implied_volatility * case.stretch
        quotes.append(
            replace(typical, spot=spot, low=spot, high=spot, mark=typical.mark * spot, implied_volatility=implied)
        )
    memories = mapped(lambda one: _spread(one, case), mood.memories)
    stretched = [replace(one, variance=one.variance * case.stretch[:, None].square()) for one in memories]
    return tuple(quotes), tuple(stretched)


def _spread(one: Tensor, case: Case) -> Tensor:
    return one[:1].expand(len(case.moved), *one.shape[1:])


def _moods(found: Recording) -> dict[str, Mood]:
    """The typical calm and the typical turbulent market, or where there are no regimes the one typical one."""
    views = [frame.seen.scene.views for frame in found.frames]
    every = [tuple((_relative(view.quote), view.memory) for view in each) for each in views]
    pooled = mapped(lambda *parts: torch.cat(parts), every[0], *every[1:])
    calm = pooled[0][1].probability[:, 0]
    if pooled[0][1].probability.shape[1] == 1:
        return {"typical": _median(pooled, torch.arange(len(calm)))}
    count, order = max(1, int(EXTREME * len(calm))), calm.argsort(descending=True)
    moods = {"calm": _median(pooled, order[:count]), "turbulent": _median(pooled, order[-count:])}
    restless = {name: 1 - float(mood.memories[0].probability[0, 0]) for name, mood in moods.items()}
    return {f"{name}: P(not calm) = {restless[name]:.2f}": mood for name, mood in moods.items()}


def _relative(quote: Quote) -> Quote:
    return replace(quote, mark=quote.mark / quote.spot)


def _median(pooled: tuple[tuple[Quote, Memory], ...], rows: Tensor) -> Mood:
    middle = mapped(lambda column: column[rows].median(dim=0, keepdim=True).values, pooled)
    quotes, memories = zip(*middle, strict=True)
    shares = [one.probability / one.probability.sum() for one in memories]
    return Mood(quotes, tuple(replace(one, probability=p) for one, p in zip(memories, shares, strict=True)))


def _asset(found: Recording, place: int) -> int:
    return found.contract.hedges[place].instrument.asset


def _left(contract: Contract, share: float) -> int:
    """Bars, whole decisions."""
    return max(1, round(share * contract.decisions)) * contract.decision_bars


def _days(contract: Contract, bars: int) -> str:
    return f"{bars * contract.bar * 365:.3g} days"
