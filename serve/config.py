"""The settings of a session, from TOML. A limit that is missing is an error, never a default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import Discriminator, Field, Tag, model_validator

from agents.carry import Threshold
from envs.calibration import Finite, NonNegative, Positive, Section, read_toml, validated
from envs.types import BadInput
from serve import breaker
from serve.breaker import Breaker
from serve.limits import Limits
from serve.oracle import Rules as Oracle
from serve.router.settings import Routing
from serve.venues.settings import AccountSettings, ExchangeSettings

WEEK_MINUTES = 7 * 24 * 60
Lot = Annotated[Decimal, Field(gt=0)]
Minute = Annotated[int, Field(ge=0, le=WEEK_MINUTES)]
Share = Annotated[float, Field(gt=0, le=1)]
Move = Annotated[float, Field(gt=-1, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,31}$")]


class Asset(Section):
    """In the order of the task's assets."""

    name: Name
    closed: tuple[tuple[Minute, Minute], ...] = ()  # when its market rests: minutes since Monday 00:00 UTC, from and to


class Leg(Section):
    """One hedging instrument, in the order of the contract's. An option leg without terms waits for `Listed`."""

    symbol: Name
    lot: Lot  # base units
    strike: Positive | None = None  # of a listed option
    expiry: str | None = None  # ISO 8601, UTC

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.strike is None) != (self.expiry is None):
            raise ValueError(f"{self.symbol} has strike or expiry alone; give both or neither")
        return self


class Clocks(Section):
    """Bars and decisions have the contract's own clocks."""

    warmup_bars: int = Field(gt=0)  # before which the policy decides nothing
    heartbeat_seconds: int = Field(gt=0)
    inference_seconds: Positive  # after which an answer is overdue
    order_seconds: Positive  # after which an order without an outcome is looked up
    order_life_seconds: Positive  # after which the venue takes an order no more
    reconcile_seconds: Positive  # between questions to the venue about orders, positions and balance
    future_seconds: NonNegative  # how far ahead of us a message may be dated; one further ahead is dropped


class Venue(Section):
    """The paper venue. `opening`: the module whose `placed` opens it."""

    opening: ClassVar[str] = "serve.venues.papering"
    name: Literal["paper"]
    seed: int = Field(default=0, ge=0)  # of the rejections and delays that the task's execution asks for
    latency_seconds: NonNegative = 0.0  # before an order reaches the venue's book

    @property
    def exchanges(self) -> tuple[ExchangeSettings, ...]:
        """None is real."""
        return ()


def _kind(raw: Any) -> str:
    """Of a venue's settings, by its name: paper, several exchanges, or one."""
    name = raw.get("name") if isinstance(raw, Mapping) else getattr(raw, "name", None)
    return f"({name})" if name in ("paper", "routed") else "(exchange)"


AnyVenue = Annotated[
    Annotated[Venue, Tag("(paper)")]
    | Annotated[Routing, Tag("(routed)")]
    | Annotated[ExchangeSettings, Tag("(exchange)")],
    Discriminator(_kind),
]


class Book(Section):
    """Where the book to hedge comes from: the paper desk, which trades the task's own claims, a file that grows, an
    account at an exchange, or people alone, by the API or `rehedge book`.
    """

    source: Literal["desk", "file", "account", "api"]
    roll: bool = False  # desk: trade the next claims when the last have expired
    carry: Threshold | None = None  # desk: hold what earns funding only while it pays
    funding: str | None = None  # desk: what its perpetuals are paid elsewhere, as --funding; None: the leg's funding
    path: str | None = None  # file: JSON, one trade a line
    account: AccountSettings | None = None  # account: whose positions are the book

    @model_validator(mode="after")
    def _located(self) -> Self:
        for source, name, given in (("file", "path", self.path), ("account", "account", self.account)):
            if (self.source == source) != (given is not None):
                raise ValueError(f'book.{name} belongs to source = "{source}", and to no other')
        if self.source != "desk" and (self.carry is not None or self.funding is not None):
            raise ValueError('book.carry and book.funding belong to source = "desk", and to no other')
        return self


class Target(Section):
    """What an asset's book and hedges together are steered to; `TargetSet` changes it."""

    delta: Finite  # base units
    gamma: Finite  # base units per 1 % of spot
    vega: Finite  # quote currency per volatility point
    hedge_ratio: float = Field(ge=0, le=1.5)  # of the book's greeks that is hedged
    above: NonNegative  # base units that the net delta may exceed its target by, untraded
    below: NonNegative


class Ramp(Section):
    """Two readings of the market: calm up to the one, stressed from the other on."""

    calm_volatility: Positive  # filtered over the calibration's reference volatility
    stress_volatility: Positive
    calm_intensity: Positive  # of shocks, over the calm level
    stress_intensity: Positive

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.calm_volatility >= self.stress_volatility or self.calm_intensity >= self.stress_intensity:
            raise ValueError("a calm reading must be below the stress reading")
        return self


class Bands(Ramp):
    """How the analytic hedge's band follows the market: multiples of its tuned half-width."""

    calm_width: float = Field(ge=0.01, le=20)
    stress_width: float = Field(ge=0.01, le=20)


class Execution(Ramp):
    """How a hedge is worked: slices that shrink from calm to stress, at a price that is no worse than stated."""

    depth_share: Share  # of the depth at hand, the largest slice when calm
    stress_share: Share  # of that slice and of the largest order, left under stress
    slice_seconds: Positive  # to the next slice of what is left
    slippage: Share  # worst price of a slice, as a fraction away from the mark
    option_slippage: Share  # the same of an option leg
    resting_seconds: NonNegative  # that an order rests at the touch in a calm market before one takes; 0: all take


class Stress(Section):
    """Cases of spot and volatility, each against each, in which the book and its hedges are valued."""

    spot: tuple[Move, ...] = Field(min_length=1)  # relative moves
    volatility: tuple[Move, ...] = Field(min_length=1)


class Reconcile(Section):
    cash_tolerance: Decimal = Field(ge=0)  # quote currency between the venue's cash and ours
    recheck_seconds: Positive  # until a report that did not agree is asked for again
    rechecks: int = Field(ge=0)  # so often, before it is asked for as usual


class Collateral(Section):
    """When collateral is asked for, and when positions shrink because it would come too late."""

    target: Positive  # distance to liquidation that either restores, as a fraction of spot
    transfer_seconds: Positive  # from the proposal until the venue counts it
    lead: float = Field(ge=1)  # so many times that it is proposed ahead
    sigmas: Positive  # of filtered volatility over the time: what is expected of the market at worst


class ServeConfig(Section):
    """A `model`'s card says the task; without a model the task is named here and the analytic hedge serves."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,19}$")  # begins every order id
    model: str | None = None  # folder
    challenger: str | None = None  # folder of a model that decides on the same inputs and trades nothing
    task: str | None = None  # of `envs/tasks/` by name, or a TOML file
    assets: tuple[Asset, ...] = Field(min_length=1)
    legs: tuple[Leg, ...] = Field(min_length=1)
    clocks: Clocks
    venue: AnyVenue
    book: Book
    targets: dict[str, Target]  # by asset
    bands: Bands
    execution: Execution
    stress: Stress
    reconcile: Reconcile
    oracle: Oracle
    collateral: Collateral
    limits: Limits
    breakers: dict[str, dict[str, Any]]

    @model_validator(mode="after")
    def _sourced(self) -> Self:
        if (self.model is None) == (self.task is None):
            raise ValueError("give either model or task")
        if self.challenger is not None and self.model is None:
            raise ValueError("a challenger needs a model to be compared with")
        return self

    @model_validator(mode="after")
    def _named(self) -> Self:
        assets, symbols = [each.name for each in self.assets], [each.symbol for each in self.legs]
        _same("targets", self.targets, assets)
        _same("oracle.assets", self.oracle.assets, assets)
        _same("limits.assets", self.limits.assets, assets)
        _same("limits.legs", self.limits.legs, symbols)
        return self

    @model_validator(mode="after")
    def _allowed(self) -> Self:
        for name, target in self.targets.items():
            for greek, most in self.limits.assets[name].hard.items():
                if abs(getattr(target, greek)) > most:
                    raise ValueError(f"targets.{name}.{greek} is beyond its hard limit of {most:f}; name one within it")
        return self

    @model_validator(mode="after")
    def _tradable(self) -> Self:
        least = Decimal(repr(self.execution.stress_share)) * self.limits.deployment.share
        for leg in self.legs:
            if self.limits.legs[leg.symbol].order.soft * least < leg.lot:
                raise ValueError(f"limits.legs.{leg.symbol}.order.soft leaves no lot under stress; raise it")
        return self


def load(path: Path, rehearsal: str | None = None) -> ServeConfig:
    """Raises BadInput, one line, for a file that is missing, is no TOML, or has a wrong or missing setting.

    `rehearsal`: address of a rehearsal exchange that takes the place of every exchange, the book's too.
    """
    raw = read_toml(path)
    _counted(raw, f"{path}: ")
    config = validated(ServeConfig, raw, str(path))
    build_breakers(config.breakers, str(path))
    return config if rehearsal is None else _rehearsed(config, rehearsal)


def _rehearsed(config: ServeConfig, address: str) -> ServeConfig:
    raw = config.model_dump(mode="json")
    reached = list(raw["venue"].get("venues", {"": raw["venue"]}).values()) if config.venue.exchanges else []
    reached += [raw["book"]["account"]] if config.book.account is not None else []
    if not reached:
        raise BadInput("--rehearsal: the settings trade on paper, which needs none; name an exchange in [venue]")
    for each in reached:
        each["rehearsal"] = address
    return validated(ServeConfig, raw, "--rehearsal")


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


def _counted(raw: Mapping[str, Any], where: str) -> None:
    """Raises BadInput for true or false in place of a number, which would pass for 1 or 0."""
    for name, value in raw.items():
        if isinstance(value, bool) and name != "roll":
            raise BadInput(f"{where}{name}: true or false is no number; correct it")
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, Mapping):
                _counted(part, f"{where}{name}.")


def _same(where: str, given: Mapping[str, object], needed: Sequence[str]) -> None:
    if len(set(needed)) < len(needed):
        raise ValueError(f"{where}: two of {', '.join(needed)} have one name; rename one")
    if missing := [name for name in needed if name not in given]:
        raise ValueError(f"{where}.{missing[0]} is missing; add it")
    if unknown := [name for name in given if name not in needed]:
        raise ValueError(f"{where}.{unknown[0]} is unknown; have {', '.join(needed)}")
