"""The settings of an exchange."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from envs.calibration import NonNegative, Positive, Section

DIALECTS = Path(__file__).parents[1] / "dialects"


def _here(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "http" or parts.hostname != "127.0.0.1" or parts.port is None or parts.path:
        raise ValueError(f"{text} is no rehearsal on this machine; give an address such as http://127.0.0.1:8123")
    return text


def _known(name: str) -> str:
    if name not in names():
        raise ValueError(f"no exchange {name!r}; have paper, routed, {', '.join(names())}")
    return name


def names() -> tuple[str, ...]:
    """The files of serve/dialects/, without loading one."""
    return tuple(sorted(path.stem for path in DIALECTS.glob("[a-z]*.py")))


Known = Annotated[str, AfterValidator(_known)]
Address = Annotated[str, AfterValidator(_here)]
FIELDS = ("apiKey", "secret", "password", "walletAddress", "privateKey")
VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")


class Keys(Section):
    """Where the secrets are, never what they are: in a file of mode 600, or in the environment.

    What does not fit may be a secret that was pasted: errors name its place, and never show it.
    """

    file: str | None = None  # TOML: apiKey = "...", secret = "..."
    environment: dict[str, str] = Field(default_factory=dict)  # name of the variable, by ccxt's name of the secret

    @model_validator(mode="before")
    @classmethod
    def _named(cls, raw: Any) -> Any:
        names = raw.get("environment", {}) if isinstance(raw, Mapping) else None
        if not isinstance(names, Mapping):
            raise ValueError('keys is no table; write environment = { apiKey = "DERIBIT_KEY", ... }')
        if not names.keys() <= set(FIELDS):
            raise ValueError(f"keys.environment has a name that is no secret's; have {', '.join(FIELDS)}")
        for name, variable in names.items():
            if not (isinstance(variable, str) and VARIABLE.fullmatch(variable)):
                raise ValueError(f"keys.environment.{name} is no variable's name; write one such as DERIBIT_KEY")
        return raw

    @model_validator(mode="after")
    def _located(self) -> Self:
        if (self.file is None) == (not self.environment):
            raise ValueError("give either keys.file or keys.environment")
        return self


class AccountSettings(Section):
    """An account at an exchange whose positions are the book to hedge. Its key need not trade."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,19}$")  # begins the ids of its holdings
    exchange: Known  # a file of serve/dialects/
    keys: Keys
    rehearsal: Address | None = None  # as an exchange's
    timeout_seconds: Positive  # for an answer, on the wall
    poll_seconds: Positive  # between looks at its positions

    @property
    def reached(self) -> ExchangeSettings:
        """The exchange, for a connection on which nothing is quoted or traded."""
        return ExchangeSettings.model_construct(
            name=self.exchange,
            keys=self.keys,
            symbols={},
            quotes={},
            rehearsal=self.rehearsal,
            timeout_seconds=self.timeout_seconds,
        )


class ExchangeSettings(Section):
    """An exchange through ccxt; instruments by ccxt's symbols."""

    opening: ClassVar[str] = "serve.venues.opening"
    name: Known  # a file of serve/dialects/
    keys: Keys
    symbols: dict[str, str]  # of each leg; an option leg that waits to be listed has none
    quotes: dict[str, str] = Field(min_length=1)  # of each asset, the perpetual whose ticker and book quote it
    sources: dict[Known, dict[str, str]] = Field(default_factory=dict)  # other exchanges' perpetual of each asset
    seed: int = Field(default=0, ge=0)  # of a paper desk whose book is hedged here
    rehearsal: Address | None = None  # of a rehearsal exchange, which stands in for the real one
    timeout_seconds: Positive  # for an answer, on the wall
    silence_seconds: Positive  # without a message, after which market data are subscribed to anew
    poll_seconds: Positive  # between looks at fills and funding that no message told of
    surface_seconds: NonNegative  # between looks at the listed volatilities; 0: never
    dead_man_seconds: Positive  # after which the exchange cancels what rests, unless the decision loop turns

    @property
    def exchanges(self) -> tuple[ExchangeSettings, ...]:
        """Every one that is traded on."""
        return (self,)
