"""The settings of a session, from TOML. A limit that is missing is an error, never a default."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Self, cast

from pydantic import Field, model_validator

from envs.calibration import Positive, Section, read_toml, validated
from envs.types import BadInput
from serve import breaker
from serve.breaker import Breaker
from serve.limits import Limits


class Clocks(Section):
    """Bars and decisions have the contract's own clocks."""

    warmup_bars: int = Field(gt=0)  # before which the policy decides nothing
    heartbeat_seconds: int = Field(gt=0)
    inference_seconds: Positive  # after which an answer is overdue
    order_seconds: Positive  # after which an order without an outcome is looked up


class Venue(Section):
    name: Literal["paper"]
    lot: Decimal = Field(gt=0)  # base units
    seed: int = Field(default=0, ge=0)  # of the rejections and delays that the task's execution asks for


class Desk(Section):
    """The book to hedge: the task's call, sold at its mark."""

    roll: bool  # sell the next one when one expires


class ServeConfig(Section):
    """A `model`'s card says the task; without a model the task is named here and the analytic hedge serves."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,19}$")  # begins every order id
    model: str | None = None  # folder
    task: str | None = None  # of `envs/tasks/` by name, or a TOML file
    clocks: Clocks
    venue: Venue
    desk: Desk
    limits: Limits
    breakers: dict[str, dict[str, Any]]

    @model_validator(mode="after")
    def _sourced(self) -> Self:
        if (self.model is None) == (self.task is None):
            raise ValueError("give either model or task")
        return self


def load(path: Path) -> ServeConfig:
    """Raises BadInput, one line, for a file that is missing, is no TOML, or has a wrong or missing setting."""
    config = validated(ServeConfig, read_toml(path), str(path))
    build_breakers(config.breakers, str(path))
    return config


def build_breakers(raw: Mapping[str, Mapping[str, Any]], where: str) -> dict[str, Breaker]:
    """Every breaker of the folder, each with its own settings; raises BadInput where one is missing or unknown."""
    for name in breaker.names():
        if name not in raw:
            raise BadInput(f"{where}: breakers.{name} is missing; every breaker needs its settings")
    built = {}
    for name in sorted(raw):
        kind = breaker.load(name)
        built[name] = cast(Breaker, kind(validated(kind.Settings, dict(raw[name]), f"{where}: breakers.{name}")))
    return built
