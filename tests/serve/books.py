"""Books of more than one call: two assets with a perpetual each, and an option book with a listed option as a leg."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

from envs.calibration import Calibration
from envs.contract import Claim, Contract, Hedge
from envs.costs import Execution, FeeTier
from envs.instruments.option import Option
from envs.instruments.perpetual import Perpetual
from envs.margin import Collateral, Margin
from envs.task import Task
from serve.codec import canonical
from serve.commands import Output
from serve.config import Asset, Leg, ServeConfig
from serve.engine import Engine
from serve.events import BookTraded, Event, History, Holding, QuoteEvent, Started
from serve.market import Market
from serve.setup import trained_text
from serve.state import State
from tests.serve.breaker_settings import limit
from tests.serve.support import CALIBRATION, GREEKS, SPOT, START, TARGET, quote, raw_config, reports

ETHER = CALIBRATION.model_copy(update={"reference_volatility": 0.8})
CROSS = Margin(mode="cross", collateral=(Collateral(amount=0.5), Collateral(amount=0.25, asset=0, haircut=0.1)))
PAIR = Contract(
    claims=(Claim(instrument=Option(bars=48)), Claim(instrument=Option(asset=1, bars=48))),
    hedges=(Hedge(), Hedge(instrument=Perpetual(asset=1))),
    bars=48,
    decision_bars=4,
    notional=200_000.0,
    margin=CROSS,
)
LISTED = Hedge(
    instrument=Option(bars=96), lot_fraction=1e-2, execution=Execution(tiers=(FeeTier(maker=3e-4, taker=3e-4),))
)
OPTIONS = Contract(
    claims=(
        Claim(instrument=Option(moneyness=(0.9, 1.2), bars=(12, 48)), units=(-0.5, 0.2), count=3),
        Claim(instrument=Option(right="put", moneyness=(0.8, 1.1), bars=(12, 48)), units=(-0.5, 0.2), count=3),
    ),
    hedges=(LISTED, Hedge()),
    bars=48,
    decision_bars=4,
    notional=200_000.0,
    margin=Margin(mode="cross", portfolio=True, collateral=(Collateral(amount=1.0),)),
    risk_aversion=100.0,
    greek_band=0.02,
)
ASSETS = (Asset(name="BTC"), Asset(name="ETH"))
PAIR_LEGS = (Leg(symbol="BTC-PERP", lot=Decimal("0.001")), Leg(symbol="ETH-PERP", lot=Decimal("0.001")))
OPTION_LEGS = (Leg(symbol="BTC-CALL", lot=Decimal("0.01")), Leg(symbol="BTC-PERP", lot=Decimal("0.001")))
ETH = 1_000.0  # its spot
MODEL = "ab" * 32


def task_of(contract: Contract, *calibrations: Calibration) -> Task:
    settings: dict[str, Any] = {"assets": list(calibrations)}
    if len(calibrations) > 1:
        settings["correlation"] = [[1.0, 0.5], [0.5, 1.0]]
    market = {"kind": "garch", "settings": settings}
    return Task.model_validate({"id": "Books", "about": "books", "market": market, "contract": contract})


def pair_task() -> Task:
    return task_of(PAIR, CALIBRATION, ETHER)


def option_task() -> Task:
    return task_of(OPTIONS, CALIBRATION)


def pair_config(**changes: Any) -> dict[str, Any]:
    raw = raw_config()
    raw["assets"] = [{"name": "BTC"}, {"name": "ETH"}]
    raw["legs"] = [{"symbol": leg.symbol, "lot": str(leg.lot)} for leg in PAIR_LEGS]
    raw["targets"] = {"BTC": dict(TARGET), "ETH": dict(TARGET)}
    raw["oracle"]["assets"]["ETH"] = raw["oracle"]["assets"]["BTC"]
    limits = raw["limits"]
    wide = {name: {"soft": str(20 * float(size)), "hard": str(20 * float(size))} for name, size in GREEKS.items()}
    limits["assets"]["ETH"] = wide
    limits["legs"]["ETH-PERP"] = {name: {"soft": "400", "hard": "400"} for name in ("order", "position")}
    raw["breakers"]["greek_limit"].update(delta=limit(8e6, 6e6), gamma=limit(2e8, 1e8))
    return changed(raw, **changes)


def option_config(**changes: Any) -> dict[str, Any]:
    raw = raw_config()
    raw["legs"] = [{"symbol": leg.symbol, "lot": str(leg.lot)} for leg in OPTION_LEGS]
    raw["limits"]["legs"]["BTC-CALL"] = {name: {"soft": "100", "hard": "100"} for name in ("order", "position")}
    raw["breakers"]["greek_limit"].update(delta=limit(8e6, 6e6), gamma=limit(2e8, 1e8))
    return changed(raw, **changes)


def changed(raw: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """`raw` with `changes`, keys of depth marked by two underscores."""
    raw = copy.deepcopy(raw)
    for key, value in changes.items():
        *path, last = key.split("__")
        section = raw
        for part in path:
            section = section[part]
        section[last] = value
    return raw


def pair_started(with_model: bool = False, **changes: Any) -> Started:
    config, of = ServeConfig.model_validate(pair_config(**changes)), pair_task()
    count = len(of.observer().names)
    return Started(
        time=START,
        config=canonical(config.model_dump(mode="json")).decode(),
        task=canonical(of.model_dump(mode="json")).decode(),
        trained=trained_text((-9.0,) * count, (9.0,) * count) if with_model else "",
        model=MODEL if with_model else "",
    )


def pair_market() -> Market:
    return Market(pair_task(), ASSETS, PAIR_LEGS)


def ether(time: int, spot: float = ETH, **changes: Any) -> QuoteEvent:
    return quote(time, spot, asset="ETH", **changes)


def sold(
    time: int, asset: str = "BTC", units: str = "-10", strike: float = SPOT, hours: int = 48, **terms: Any
) -> BookTraded:
    values = {"id": f"{asset}-{strike:g}", "kind": "option", "right": "call", "style": "european", **terms}
    held = Holding(asset=asset, units=Decimal(units), strike=strike, expiry=START + hours * 3_600_000, **values)
    return BookTraded(time, held, Decimal(0))


def warm(bars: int = 40) -> list[Event]:
    """Both filters warm, both assets quoted, nothing held."""
    closes = [1 + 0.003 * (-1) ** k for k in range(bars + 1)]
    history = [
        History(START, name, START, tuple(spot * each for each in closes))
        for name, spot in (("BTC", SPOT), ("ETH", ETH))
    ]
    return [*reports(), *history, quote(START + 1), ether(START + 1)]


def fold(engine: Engine, events: list[Event], state: State | None = None) -> tuple[State, list[Output]]:
    state, outputs = engine.initial() if state is None else state, list[Output]()
    for event in events:
        state, more = engine.step(state, event)
        outputs += more
    return state, outputs
