"""The calibrated numbers of a market, as a TOML file that a person can read and that loading checks."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from envs.types import HOURS_PER_YEAR, BadInput

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Volatility = Annotated[float, Field(gt=0, le=100)]  # per √year
BarHours = Annotated[float, Field(ge=1 / 60, le=HOURS_PER_YEAR)]

IMPLIED_HOURS = 720  # the implied volatility quoted is that of 30 days

Model = TypeVar("Model", bound=BaseModel)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Section):
    """Where the numbers come from."""

    asset: str
    first: str  # ISO 8601, UTC, first bar used
    last: str  # ISO 8601, UTC, last bar used: nothing after it was seen
    bars: int
    bar_hours: BarHours = 1.0
    sha256: str  # of the bars used


class Regimes(Section):
    """MS-GARCH of Haas, Mittnik and Paolella (2004): regime k has its own GJR recursion, in variance per year,

    h_k' = min(ceiling, ω_k + (α_k + leverage_k·1[r < 0])·min(r²/dt, truncation²·h_k) + β_k·h_k).
    """

    transition: tuple[tuple[NonNegative, ...], ...]  # [from][to], per bar
    omega: tuple[Positive, ...]
    alpha: tuple[NonNegative, ...]
    leverage: tuple[NonNegative, ...]
    beta: tuple[NonNegative, ...]
    degrees_of_freedom: Annotated[
        float, Field(gt=2, allow_inf_nan=False)
    ]  # of the Student-t, standardised to unit variance
    truncation: Positive  # |shock| bound in standard deviations, before the cut law is re-standardised
    ceiling: Positive = 400.0  # variance per year that no regime exceeds: 2,000 % a year, above any hour on record

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        count = len(self.transition)
        if any(len(row) != count for row in self.transition):
            raise ValueError("transition must be square")
        if any(abs(math.fsum(row) - 1) > 1e-9 for row in self.transition):
            raise ValueError("each row of transition must sum to 1")
        for name in ("omega", "alpha", "leverage", "beta"):
            if len(getattr(self, name)) != count:
                raise ValueError(f"{name} needs {count} entries, one per regime")
        return self


class Shocks(Section):
    """Liquidation cascades: bars whose shock, in the regime's standard deviations, is ±(least_size + exponential).

    Their Hawkes intensity per year is fed by moves that anyone can see,
    λ = (base_rate + excitation·x)·(σ_ref/σ)^leverage, x' = x·2^(−dt/half_life) + max(0, |r|/(σ√dt) − threshold)
    with σ the filtered volatility: positions are levered as volatility lets them, so fuel builds up in calm and the
    volatility that a large move brings burns it. x also strains the venue.
    """

    base_rate: NonNegative  # cascades per year at σ = σ_ref with x = 0
    excitation: NonNegative  # added to the rate per year by each unit of x
    threshold: Positive  # standard deviations
    half_life_hours: Positive  # of x
    leverage: NonNegative  # elasticity of the rate in calm: 0 where volatility does not matter
    variance_gain: Annotated[
        float, Field(ge=1, allow_inf_nan=False)
    ]  # mean squared return over that of ordinary bars: for forecasts
    news_gain: Annotated[float, Field(ge=1, allow_inf_nan=False)]  # the same, squares cut at GARCH's truncation
    least_size: Positive  # standard deviations
    mean_size: Positive  # standard deviations beyond least_size
    max_fall: Positive  # in log price: no cascade moves the price further down
    max_rise: Positive  # nor further up
    rise_share: Annotated[float, Field(ge=0, le=1)]  # of cascades that are squeezes


class Range(Section):
    """A bar's extremes: beyond its open and close, those of a Brownian bridge whose variance v has a heavy tail,

    v = diffusive·h·dt + overshoot·r² towards the extreme (r² where the bar moved that way, else 0); no extreme lies
    further from the open than `reach`, in log price, unless the close does.
    """

    low_diffusive: NonNegative
    low_overshoot: NonNegative
    low_reach: Positive
    high_diffusive: NonNegative
    high_overshoot: NonNegative
    high_reach: Positive


class Funding(Section):
    """AR(1) premium index per eight hours; Binance's formula turns it into a funding rate."""

    mean_premium: Finite  # per 8 h
    premium_std: Positive  # per 8 h, stationary
    persistence: Annotated[float, Field(ge=0, lt=1)]  # over 8 h


class Liquidity(Section):
    """The perpetual's book when calm, and in a cascade (intensity far above its base)."""

    calm_half_spread: Positive  # fraction of the mark
    stressed_half_spread: Positive
    calm_depth: Positive  # quote currency within 5 bps, one side
    stressed_depth: Positive
    half_strain: Positive  # x of `Shocks` at which congestion is one half
    deleveraging_range: Positive  # ln(high/low) of a bar beyond which winning positions are closed
    deleveraged_share: Annotated[float, Field(ge=0, lt=1)]  # of them, closed in a bar of twice that range or more


class Surface(Section):
    """Implied volatility at 30 days, which follows risk_premium × forecast volatility; SSVI smile.

    ln σ_implied closes half its gap to that level in every half-life, and is moved by noise, partly by the returns'.
    """

    risk_premium: Positive  # implied over forecast volatility, on average
    half_life_hours: Positive
    volatility: NonNegative  # of the noise of ln σ_implied, per √year
    return_correlation: Annotated[float, Field(ge=-1, le=1)]  # of the noise with standardised returns
    skew: Annotated[float, Field(gt=-1, lt=1)]  # SSVI's ρ
    curvature: Positive  # SSVI's η; η²(1 + |ρ|) ≤ 4 keeps the surface free of butterfly arbitrage

    @model_validator(mode="after")
    def _free_of_arbitrage(self) -> Self:
        if self.curvature**2 * (1 + abs(self.skew)) > 4:
            raise ValueError("curvature²·(1 + |skew|) is above 4, where butterflies cost less than nothing; lower it")
        return self


class Calibration(Section):
    """Everything the simulated market and the filters need."""

    source: Source
    reference_volatility: Volatility  # per √year, over the source window
    regimes: Regimes
    shocks: Shocks
    range: Range
    funding: Funding
    liquidity: Liquidity
    surface: Surface

    @property
    def implied_bars(self) -> int:
        """Bars in the 30 days of the quoted implied volatility."""
        return round(IMPLIED_HOURS / self.source.bar_hours)

    def save(self, path: Path) -> None:
        path.write_text(tomli_w.dumps(self.model_dump(mode="json")), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Raises BadInput, one line, for a file that is missing, is no TOML, or has a wrong field."""
        return validated(cls, read_toml(path), str(path))


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or "not readable").lower()
        raise BadInput(f"{path}: {reason}; give the path of an existing TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not valid TOML ({error}); mend the syntax there") from None


def validated(model: type[Model], raw: dict[str, Any], where: str) -> Model:
    """`raw` as a `model`; raises BadInput naming the first wrong field."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        named = (str(part) for part in first["loc"])
        field = ".".join(part for part in named if not part.startswith("(")) or "(whole)"  # no tags of unions
        raise BadInput(f"{where}: {field}: {_told(first)}") from None


def _told(error: ErrorDetails) -> str:
    """What is wrong, with the value, and how to mend it."""
    if error["type"] == "value_error":
        said = str(error["ctx"]["error"])
        return said if ";" in said else f"{said}; correct it"
    if error["type"] == "extra_forbidden":
        return "not a setting; remove it or correct its name"
    value = error["input"]
    shown = f", not {value!r}" if isinstance(value, str | int | float) else ""
    return f"{error['msg'].lower()}{shown}; correct it"
