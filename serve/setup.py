"""What a session runs on, as its first event carries it, so that a journal replays with nothing else at hand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from envs.calibration import validated
from envs.task import Task
from envs.types import BadInput
from serve import codec
from serve.breaker import Breaker, Trained
from serve.config import ServeConfig, build_breakers
from serve.events import Started
from serve.market import Market

ACTIONS = 2  # centre and width of the band


@dataclass(frozen=True)
class Setup:
    config: ServeConfig
    config_sha256: str
    market: Market
    breakers: dict[str, Breaker]
    trained: Trained | None  # None: no model, the analytic hedge serves
    model: str  # SHA-256 of the weights


def opened(started: Started) -> Setup:
    """Raises BadInput where a text is no valid settings, the task cannot be served, or the ranges are of others."""
    config = validated(ServeConfig, _json(started.config), "config")
    market = Market(validated(Task, _json(started.task), "task"))
    return Setup(
        config=config,
        config_sha256=codec.digest(started.config),
        market=market,
        breakers=build_breakers(config.breakers, "config"),
        trained=_trained(started.trained, market),
        model=started.model,
    )


def trained_text(low: tuple[float, ...], high: tuple[float, ...]) -> str:
    """What `Started.trained` holds: the range of each feature, in the observer's order."""
    return codec.canonical({"low": low, "high": high}).decode()


def _trained(text: str, market: Market) -> Trained | None:
    if not text:
        return None
    ranges = _json(text)
    names = market.observer.names
    if not len(ranges["low"]) == len(ranges["high"]) == len(names):
        raise BadInput(f"the model was trained on {len(ranges['low'])} features, not {len(names)}; export it again")
    return Trained(names, tuple(ranges["low"]), tuple(ranges["high"]), ACTIONS)


def _json(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(text)
    return loaded
