"""Small worlds to serve in: settings, a calibration, a model and quotes that need no file but what they write."""

from __future__ import annotations

import copy
import math
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import torch

from agents import card
from agents.network import ActorNetwork
from envs.calibration import Calibration, Funding, Regimes
from envs.contract import Claim, Contract
from envs.instruments.option import Option
from envs.margin import Collateral, Margin
from envs.task import DATA, Task
from serve.clock import HOUR
from serve.codec import canonical
from serve.config import Asset, Leg, ServeConfig, Venue
from serve.events import (
    BalanceReport,
    BookTraded,
    Event,
    History,
    Holding,
    OrdersReport,
    PositionsReport,
    QuoteEvent,
    Started,
)
from serve.setup import trained_text
from tests.serve.breaker_settings import BREAKERS

START = 500_000 * HOUR
SPOT = 20_000.0

# pinned but for what no test here looks at: hours of 1 % strain this venue
SHIPPED = Calibration.load(DATA / "btc_2017_2022.toml")
CALIBRATION = SHIPPED.model_copy(
    update={
        "reference_volatility": 0.6,
        "regimes": Regimes(
            transition=((0.98, 0.02), (0.05, 0.95)),
            omega=(0.004, 0.04),
            alpha=(0.05, 0.1),
            leverage=(0.0, 0.0),
            beta=(0.93, 0.85),
            degrees_of_freedom=5.0,
            truncation=6.0,
        ),
        "shocks": SHIPPED.shocks.model_copy(update={"threshold": 1.0, "half_life_hours": 4.0}),
        "liquidity": SHIPPED.liquidity.model_copy(
            update={
                "calm_half_spread": 1e-5,
                "stressed_half_spread": 5e-4,
                "calm_depth": 5e6,
                "stressed_depth": 5e5,
                "half_strain": 3.0,
            }
        ),
        "surface": SHIPPED.surface.model_copy(update={"risk_premium": 1.05, "skew": -0.3, "curvature": 0.7}),
        "funding": Funding(mean_premium=1e-4, premium_std=2e-4, persistence=0.8),
    }
)
CONTRACT = Contract(
    claims=(Claim(instrument=Option(bars=48)),),
    bars=48,
    decision_bars=4,
    notional=200_000.0,
    margin=Margin(mode="isolated", collateral=(Collateral(amount=0.5),)),
)

VENUE = Venue(name="paper")
ASSETS = (Asset(name="BTC"),)
LEGS = (Leg(symbol="BTC-PERP", lot=Decimal("0.001")),)
PERP = "BTC-PERP"


def task(**changes: Any) -> Task:
    """A call sold on CALIBRATION, with `changes` to the contract."""
    contract = CONTRACT.model_copy(update=changes)
    market = {"kind": "garch", "settings": {"assets": [CALIBRATION]}}
    return Task.model_validate({"id": "Test", "about": "a short call", "market": market, "contract": contract})


GREEKS = {"delta": "20", "gamma": "1000", "vega": "1e6"}
CALM: dict[str, Any] = {"calm_volatility": 1.0, "stress_volatility": 3.0, "calm_intensity": 1.5, "stress_intensity": 3}
TARGET: dict[str, Any] = {"delta": 0, "gamma": 0, "vega": 0, "hedge_ratio": 1, "above": 0, "below": 0}
CONFIG: dict[str, Any] = {
    "name": "test",
    "model": "model",
    "assets": [{"name": "BTC"}],
    "legs": [{"symbol": "BTC-PERP", "lot": "0.001"}],
    "clocks": {
        "warmup_bars": 30,
        "heartbeat_seconds": 900,
        "inference_seconds": 2.0,
        "order_seconds": 10.0,
        "order_life_seconds": 30.0,
        "reconcile_seconds": 3600,
        "future_seconds": 5,
    },
    "venue": {"name": "paper"},
    "book": {"source": "desk", "roll": True},
    "targets": {"BTC": TARGET},
    "bands": {**CALM, "calm_width": 1.0, "stress_width": 1.0},
    "execution": {
        **CALM,
        "depth_share": 1.0,
        "stress_share": 1.0,
        "slice_seconds": 14_400,
        "slippage": 0.02,
        "option_slippage": 0.5,
        "resting_seconds": 0,
    },
    "stress": {"spot": [-0.2, 0.2], "volatility": [-0.25, 0.5]},
    "reconcile": {"cash_tolerance": "0.01", "recheck_seconds": 30, "rechecks": 2},
    "collateral": {"target": 0.02, "transfer_seconds": 60, "lead": 1.0, "sigmas": 1.0},
    "oracle": {"stale_seconds": 2700, "deviation": 0.01, "assets": {"BTC": {"names": ["north", "south"], "quorum": 1}}},
    "limits": {
        "assets": {"BTC": {name: {"soft": size, "hard": size} for name, size in GREEKS.items()}},
        "legs": {"BTC-PERP": {"order": {"soft": "20", "hard": "20"}, "position": {"soft": "20", "hard": "20"}}},
        "stress_loss": {"soft": "1e7", "hard": "1e7"},
        "notional": {"soft": "1e7", "hard": "1e7"},
        "order_value": {"soft": "1e7", "hard": "1e7"},
        "deployment": {"share": "1", "days": "0"},
        "collar": "0.02",
        "max_messages": 20,
        "per_seconds": 60,
        "override_seconds": 600,
    },
    "breakers": BREAKERS,
}


def raw_config(**changes: Any) -> dict[str, Any]:
    """CONFIG with `changes`, keys of depth marked by two underscores."""
    raw = copy.deepcopy(CONFIG)
    for key, value in changes.items():
        *path, last = key.split("__")
        section = raw
        for part in path:
            section = section[part]
        section[last] = value
    return raw


def started(time: int = START, with_model: bool = True, **changes: Any) -> Started:
    config = ServeConfig.model_validate(raw_config(**changes))
    count = len(task().observer().names)
    return Started(
        time=time,
        config=canonical(config.model_dump(mode="json")).decode(),
        task=canonical(task().model_dump(mode="json")).decode(),
        trained=trained_text((-4.0,) * count, (4.0,) * count) if with_model else "",
        model="ab" * 32 if with_model else "",
    )


def history(time: int = START, bars: int = 40) -> History:
    return History(time, "BTC", time, tuple(SPOT * (1 + 0.003 * (-1) ** k) for k in range(bars + 1)))


def quote(time: int, spot: float = SPOT, **changes: Any) -> QuoteEvent:
    values = {
        "time": time,
        "asset": "BTC",
        "quoted_at": time,
        "spot": spot,
        "low": spot,
        "high": spot,
        "mark": spot,
        "half_spread": 1e-5,
        "depth": 5e6,
        "funding_rate": 0.05,
        "implied_volatility": 0.6,
        "congestion": 0.0,
        "deleveraged": 0.0,
    }
    return QuoteEvent(**{**values, **changes})


def call(
    time: int = START, strike: float = SPOT, units: str = "-10", bars: int = 48, name: str = "call-1"
) -> BookTraded:
    held = Holding(name, "BTC", "option", Decimal(units), time + bars * HOUR, "call", strike)
    return BookTraded(time, held, Decimal(5000))


def reports(time: int = START) -> list[Event]:
    """A flat venue's."""
    return [OrdersReport(time, ()), PositionsReport(time, time, ()), BalanceReport(time, time, Decimal(0), 0.0)]


def opening(**changes: Any) -> list[Event]:
    """A warm session with a call sold."""
    return [started(**changes), *reports(), history(), quote(START + 1), call(START + 2)]


def save_model(folder: Path, seed: int = 7, of: Task | None = None) -> Path:
    """A small network with random weights, and its card."""
    of = task() if of is None else of
    observer = of.observer()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ActorNetwork(len(observer.names), (8,), "silu", of.actions)
    described: dict[str, Any] = {
        "name": "test",
        "features": observer.names,
        "features_sha256": observer.sha256,
        "trained_range": dict.fromkeys(observer.names, (-4.0, 4.0)),
        "hidden": (8,),
        "activation": "silu",
        "task": of,
        "opponents": {"tuned": {"zakamouline": 10.0}, "best": "zakamouline", "seed": 1, "paths": 10},
        "training": {"seed": seed, "steps": 0, "seconds": 0.0, "settings": {}},
        "limits": (),
        "evaluation": {},
    }
    card.save(folder, network, described)
    return folder


def write_bars(
    path: Path, count: int = 140, first: int = START - 60 * HOUR, jump_at: int | None = None, swing: float = 0.004
) -> Path:
    """Hourly bars of a deterministic walk, each up or down by at most `swing`; from bar `jump_at` on, a tenth lower."""
    lines, price = ["time,open,high,low,close,volume"], SPOT
    for k in range(count):
        before, price = price, price * (1 + swing * math.sin(1.7 * k * k))
        price *= 0.9 if k == jump_at else 1.0
        row = (before, max(before, price) * 1.002, min(before, price) * 0.998, price)
        time = datetime.fromtimestamp((first + k * HOUR) / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        lines.append(",".join([time, *(f"{value:.2f}" for value in row), "1"]))
    path.write_text("\n".join(lines) + "\n")
    return path
