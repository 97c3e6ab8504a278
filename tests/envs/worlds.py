"""Small worlds for tests: on geometric Brownian motion, on scripted prices, on the shipped calibration."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from agents.base import Agent
from envs.contract import Contract
from envs.decision import Band
from envs.hedging import HedgingWorld
from envs.instrument import View
from envs.markets.gbm import GbmMarket, State
from envs.objectives.mean_shortfall import MeanShortfall
from envs.portfolio import Portfolio
from envs.pricing import black_scholes
from envs.scene import Scene, traded
from envs.seeding import generators
from envs.task import Task
from envs.types import Quote
from envs.volatility.memory import Memory

F64 = torch.float64
FREE = {"tiers": [{"maker": 0, "taker": 0}], "impact": 0.0}  # an execution that costs nothing
PLAIN = {"instrument": {"kind": "perpetual"}, "lot_fraction": 0.0, "execution": {"impact": 0.0}}  # a hedge with fees
UNMARGINED = {"mode": "none"}
GBM = {"kind": "gbm", "settings": {"volatility": [0.8]}}
BTC = {"settings": {"assets": ["btc_2017_2022"]}}


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=F64)


def call(spot: float, strike: float, bars: int, volatility: float = 0.8) -> float:
    """The Black–Scholes price."""
    return float(black_scholes.price(*(tensor(v) for v in (spot, strike, bars / 8760, volatility))))


def standard_error(sample: Tensor) -> Tensor:
    """Of the mean over paths, the first axis."""
    return sample.std(0) / math.sqrt(len(sample))


def free(**instrument: Any) -> dict[str, Any]:
    """A hedge that trades any size for nothing."""
    return {"instrument": {"kind": "perpetual", **instrument}, "lot_fraction": 0.0, "execution": FREE}


def contract(**changed: Any) -> Contract:
    """A short call of two days in hourly bars, decided every eight, hedged for nothing."""
    bars = changed.get("bars", 48)
    claims = [{"instrument": {"bars": bars}}]
    return Contract.model_validate({"bars": bars, "decision_bars": 8, "claims": claims, "hedges": [free()], **changed})


def task(made: Contract, market: dict[str, Any] = GBM, **changed: Any) -> Task:
    return Task.model_validate({"id": "Test", "about": "a test", "market": market, "contract": made, **changed})


def world(
    seed: int, paths: int, made: Contract, hedgers: int = 1, market: dict[str, Any] = GBM, **settings: Any
) -> HedgingWorld:
    """At the start of its episodes, in float64."""
    controlled, dtype = settings.pop("controlled", False), settings.pop("dtype", F64)
    built = task(made, market, **settings).world(paths, hedgers, generators(seed, 1)[0], dtype, controlled)
    built.reset(staggered=False)
    return built


def band(hedging: HedgingWorld, *agents: Agent) -> Band:
    """One agent per hedger of each path."""
    each = [agent.band(hedging.observation.of(g)) for g, agent in enumerate(agents)]
    return Band(torch.cat([b.lower for b in each], 1), torch.cat([b.upper for b in each], 1))


def at(hedging: HedgingWorld, *hedges: float) -> Band:
    """Bands closed at so many hedges (K,), for every hedger."""
    edge = tensor(*hedges).expand(hedging.paths, hedging.group_size, -1)
    return Band(edge, edge)


def carried(hedging: HedgingWorld, *agents: Agent) -> tuple[Tensor, Tensor]:
    """Summed rewards and final losses (P, G) from where the world stands to its episodes' end."""
    total = torch.zeros_like(hedging.episode.loss)
    for _ in range(int(hedging.episode.bars_left[0]) // hedging.contract.decision_bars):
        reward, _, loss = hedging.advance(band(hedging, *agents))
        total = total + reward
    return total, loss


class Scripted(GbmMarket):
    """One path of one asset whose spots are given; a quote's other fields are constant, or given bar by bar."""

    renewed = False

    def __init__(self, spots: list[float], volatility: float = 0.8, bar_hours: float = 1.0, **fields: Any) -> None:
        settings = self.Settings(volatility=(volatility,), bar_hours=bar_hours)
        super().__init__(settings, 720, torch.Generator(), F64, torch.device("cpu"))
        self.spots, self.fields = spots, fields

    def initial(self, paths: int) -> tuple[Any, tuple[Memory, ...]]:
        return 0, tuple(filter.initial(paths) for filter in self.filters)

    def step(self, state: Any, memories: tuple[Memory, ...]) -> tuple[Any, tuple[Memory, ...], tuple[Quote, ...]]:
        move = tensor(self.spots[state + 1] / self.spots[state]).log()
        memories = (self.filters[0].update(memories[0], move),)
        return state + 1, memories, self.quote(state + 1, memories)

    def quote(self, state: Any, memories: tuple[Memory, ...]) -> tuple[Quote, ...]:
        spot, before = self.spots[state], self.spots[max(state - 1, 0)]
        values = {
            "spot": spot, "low": min(spot, before), "high": max(spot, before), "mark": spot, "half_spread": 0.0,
            "depth": 1e9, "funding_rate": 0.0, "implied_volatility": float(self.volatility), "congestion": 0.0,
            "deleveraged": 0.0,
        }  # fmt: skip
        given = {n: v[state] if isinstance(v, list) else v for n, v in self.fields.items()}
        return (Quote(**{name: tensor(value) for name, value in {**values, **given}.items()}),)


def scripted(made: Contract, spots: list[float], hedgers: int = 1, **fields: Any) -> HedgingWorld:
    """One path of `spots`, at its start."""
    built = HedgingWorld(Scripted(spots, **fields), made, MeanShortfall(), 1, hedgers, torch.Generator())
    built.reset(staggered=False)
    return built


def constant_views(spots: list[tuple[float, ...]], volatility: float = 0.8, horizon: int = 2000) -> tuple[View, ...]:
    """Per asset a view of len(spots) paths in a calm market of one volatility; `spots` by path, then asset."""
    count = len(spots[0])
    settings = GbmMarket.Settings(volatility=(volatility,) * count)
    market = GbmMarket(settings, horizon, torch.Generator(), F64, torch.device("cpu"))
    rows = torch.tensor(spots, dtype=F64)
    memories = tuple(filter.initial(len(spots)) for filter in market.filters)
    quotes = market.quote(State(rows, rows, rows), memories)
    each = zip(quotes, memories, market.surfaces, strict=True)
    return tuple(View(quote, memory, surface, 1 / 8760) for quote, memory, surface in each)


def scene(made: Contract, views: tuple[View, ...], book: Portfolio, terms: tuple[Any, ...], units: Tensor) -> Scene:
    return Scene(made, views, book, traded(made, terms, views), units)
