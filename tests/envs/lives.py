"""Worlds in the middle of their lives, and what their observers see of any part of them."""

from __future__ import annotations

from typing import Any

import torch

from agents.classical.banded_greeks import BandedGreeks
from agents.classical.zakamouline import Zakamouline
from envs import scene
from envs.calibration import Calibration
from envs.hedging import HedgingWorld
from envs.observation import Observation
from envs.scene import Scene
from envs.task import DATA
from envs.types import taken
from tests.envs.worlds import BTC, F64, band, contract, free, world

CALIBRATION = Calibration.load(DATA / "btc_2017_2022.toml")
CALL = contract(bars=240, margin={"mode": "isolated", "collateral": [{"amount": 0.5}]})
BOOK = contract(
    bars=240,
    claims=[
        {"instrument": {"right": "call", "moneyness": [0.7, 1.4], "bars": [24, 240]}, "units": [-0.7, 0.3], "count": 3},
        {"instrument": {"right": "put", "settlement": "coin", "moneyness": 0.9, "bars": 240}},
    ],
    hedges=[{**free(), "instrument": {"kind": "option", "bars": 480}}, free()],
    margin={"mode": "cross", "portfolio": True, "collateral": [{"amount": 1.0}]},
)
PAIR = contract(
    bars=240,
    claims=[{"instrument": {"bars": 240, "asset": a}} for a in (0, 1)],
    hedges=[free(asset=0), free(asset=1)],
)
ETH_TOO = {"settings": {"assets": ["btc_2017_2022", "eth_2022_2024"], "correlation": [[1.0, 0.84], [0.84, 1.0]]}}
KINDS = {"call": (CALL, BTC), "book": (BOOK, BTC), "pair": (PAIR, ETH_TOO)}


def lived(kind: str, dtype: torch.dtype = F64, paths: int = 40) -> HedgingWorld:
    """Two hedgers on each path, half of a life on, with hedges held."""
    rules, market = KINDS[kind]
    made = world(601, paths, rules, hedgers=2, market=market, dtype=dtype)
    for _ in range(rules.decisions // 2):
        made.advance(band(made, Zakamouline(5.0), BandedGreeks(20.0, 0.1)))
    return made


def observed(made: HedgingWorld, row: slice = slice(None), own: slice = slice(None), **changed: Any) -> Observation:
    """By the world's observer, of some paths and hedgers, or of what `changed`: quotes, portfolio, terms, book."""
    now = made.episode
    quotes, book = changed.get("quotes", now.quotes), changed.get("book", now.book)
    claims, terms = changed.get("portfolio", now.portfolio), changed.get("terms", now.terms)
    some = type(book)(**{n: v[row, own] for n, v in vars(book).items()})
    views = made.observer.views(taken(quotes, row), taken(now.memories, row))
    claims, terms = taken(claims, row), taken(terms, row)
    traded = scene.traded(made.contract, terms, views)
    cushion = made.custodian.cushion(some, claims, traded, views)
    return made.observer.observe(Scene(made.contract, views, claims, traded, some.units), cushion)
