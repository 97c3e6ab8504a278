"""Carry trades on history: what each entry and exit would have brought, and what rules that choose them make of it.

A trade is the task's book, held with an agent's hedge from a day's start for a whole number of days and then sold, at
the costs of the contract for the hedge and at a fee for the spot. A window holds as many trades as the rule enters in
it, each on the whole notional.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, product

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.base import Agent
from agents.carry import Threshold
from envs import book as books
from envs import scene
from envs.hedging import HedgingWorld
from envs.objective import Objective
from envs.observation import Observer
from train import cohort, history

SPOT_FEE = 1e-3  # of what is bought or sold: Binance, spot, regular taker
DAYS, ENTER, LEAVE = (1, 3, 7, 14, 30), (0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3), (-0.1, 0.0, 0.03, 0.06, 0.1)


@dataclass(frozen=True)
class Trades:
    """Losses, over the notional, of every trade that begins with a day of the record."""

    starts: pd.DatetimeIndex  # (N,) the days
    loss: Tensor  # (N, D + 1, G) by how many days it is held; none at 0


@torch.no_grad()
def trades(observer: Observer, objective: Objective, record: history.Record, agents: Sequence[Agent]) -> Trades:
    """Of a book of spot, hedged by each of G agents."""
    world, starts = history.windows(observer, objective, record, len(agents))
    a_day = round(24 / world.contract.bar_hours) // world.contract.decision_bars
    losses = [torch.zeros_like(world.episode.loss)]
    for step in range(1, world.contract.decisions + 1):
        world.advance(cohort.joint(world, agents))
        if step % a_day == 0:
            losses.append(_sold(world))
    return Trades(starts.floor("D"), torch.stack(losses, 1).double())


def held(rule: Threshold, funding: pd.Series[float]) -> pd.Series[bool]:
    """Whether the rule holds the trade on each day of daily `funding` per year, by the days that have ended before."""
    known, on, each = funding.rolling(rule.days).mean().shift(1), False, list[bool]()
    for rate in known:
        on = rule.held(rate, on)  # not while too few days are known: nothing compares with NaN
        each.append(on)
    return pd.Series(each, index=funding.index)


def windows(of: Trades, days: pd.Series[bool]) -> tuple[pd.DatetimeIndex, Tensor]:
    """What holding on those `days` makes of each window (W,): losses (W, G). Windows that lack some of it are out."""
    life = of.loss.shape[1] - 1
    row = {day: n for n, day in enumerate(of.starts)}
    on = days.reindex(pd.date_range(of.starts[0], of.starts[-1], freq="D"), fill_value=False)
    known = on.index.isin(of.starts)
    starts, losses = [], []
    for first in range(len(on) - life + 1):
        if known[first : first + life].all():
            spells = _spells(on.to_numpy()[first : first + life])
            starts.append(on.index[first])
            losses.append(sum((of.loss[row[on.index[first + at]], length] for at, length in spells), of.loss[0, 0]))
    return pd.DatetimeIndex(starts), torch.stack(losses)


def tuned(of: Trades, funding: pd.Series[float], measure: Callable[[Tensor], Tensor]) -> Threshold:
    """The rule whose losses (W,) have the least `measure`, with the first agent's hedge."""
    rules = [Threshold(enter=e, leave=out, days=d) for d, e, out in product(DAYS, ENTER, LEAVE) if out <= e]
    return min(rules, key=lambda rule: float(measure(windows(of, held(rule, funding))[1][:, 0])))


def _sold(world: HedgingWorld) -> Tensor:
    """(N, G) loss if all is sold now, the spot's fees of both ends included."""
    now, contract = world.episode, world.contract
    spot = (now.portfolio.base[0] * now.quotes[0].spot)[:, None] / contract.notional
    fees = SPOT_FEE * (1 + spot)
    if bool((now.bars_left <= 0).all()):
        return now.loss + fees
    views = world.observer.views(now.quotes, now.memories)
    traded = scene.traded(contract, now.terms, views)
    book = world.broker.closed(now.book, traded, torch.ones(world.paths, dtype=torch.bool))
    return fees - spot - books.wealth(book, traded.mark, torch.zeros_like(spot)) / contract.notional


def _spells(on: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where stretches that are on begin, and their lengths."""
    found, at = [], 0
    for value, group in groupby(on.tolist()):
        length = len(list(group))
        found += [(at, length)] if value else []
        at += length
    return found
