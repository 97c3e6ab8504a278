"""What a session runs on, as its first event carries it, so that a journal replays with nothing else at hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from envs.calibration import validated
from envs.task import Task
from envs.types import BadInput
from serve import codec
from serve.breaker import Breaker, Trained
from serve.clock import SECOND, parse
from serve.config import ServeConfig, build_breakers
from serve.events import Started
from serve.exposure import Limited
from serve.frozen import kept
from serve.market import Listing, Market
from serve.oracle import Price, priced
from serve.state import State


@dataclass(frozen=True)
class Setup:
    config: ServeConfig
    config_sha256: str
    limits_sha256: str
    market: Market
    limited: Limited
    breakers: dict[str, Breaker]
    prices: Callable[[State], Mapping[str, Price]]  # the oracle's, by asset

    @property
    def surface_life(self) -> float:
        """Milliseconds for which a listed surface prices: as long as `stale_input` does not call it stale."""
        entry: float = self.config.breakers["stale_input"]["surface"]["entry"]
        return entry * SECOND

    @property
    def quote_life(self) -> float:
        """Milliseconds for which a quote is decided on: as long as `stale_input` calls none of its prices stale."""
        rules = self.config.breakers["stale_input"]
        return min(float(rules[name]["entry"]) for name in ("spot", "mark", "funding")) * SECOND

    @property
    def margin_limit(self) -> float:
        """Distance to liquidation below which no account should come."""
        entry: float = self.config.breakers["margin_distance"]["entry"]
        return entry

    def trained(self, text: str) -> Trained | None:
        """Ranges as `Started` and `ModelOffered` hold them; raises BadInput where they are of other features."""
        return _trained(text, self.market.observer.names, self.market.actions) if text else None


def opened(started: Started) -> Setup:
    """Raises BadInput where a text is no valid settings, the task cannot be served, or the ranges are of others."""
    config = validated(ServeConfig, _json(started.config), "config")
    market = Market(validated(Task, _json(started.task), "task"), config.assets, config.legs, config.stress)
    setup = Setup(
        config=config,
        config_sha256=codec.digest(started.config),
        limits_sha256=codec.digest(codec.canonical(config.limits.model_dump(mode="json"))),
        market=market,
        limited=Limited(market, config.limits),
        breakers=build_breakers(config.breakers, "config"),
        prices=kept(
            lambda state: priced(config.oracle, state.quotes, state.sources, state.time),
            lambda state: (state.quotes, state.sources, state.time),
        ),
    )
    setup.trained(started.trained)
    return setup


def listings(config: ServeConfig) -> dict[str, Listing]:
    """Of the option legs that the settings give terms to."""
    return {
        leg.symbol: Listing(leg.strike, _time(leg.symbol, leg.expiry))
        for leg in config.legs
        if leg.strike is not None and leg.expiry is not None
    }


def trained_text(low: tuple[float, ...], high: tuple[float, ...]) -> str:
    """What `Started.trained` holds: the range of each feature, in the observer's order."""
    return codec.canonical({"low": low, "high": high}).decode()


@cache
def _trained(text: str, names: tuple[str, ...], actions: int) -> Trained:
    ranges = _json(text)
    if not len(ranges["low"]) == len(ranges["high"]) == len(names):
        raise BadInput(f"the model was trained on {len(ranges['low'])} features, not {len(names)}; export it again")
    return Trained(names, tuple(ranges["low"]), tuple(ranges["high"]), actions)


def _time(symbol: str, text: str) -> int:
    try:
        return parse(text)
    except ValueError:
        raise BadInput(f"legs: expiry {text!r} of {symbol} is no time; write it as 2026-12-25T08:00:00Z") from None


def _json(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(text)
    return loaded
