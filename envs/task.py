"""A hedging task: the market, the contract in it, and what is minimised. One TOML file of `envs/tasks/` each.

Every such file is an environment registered with Gymnasium, as `Rehedge/<id>-v0`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, SerializeAsAny, field_validator
from torch import Generator

from envs import dials, register
from envs.calibration import Calibration, Section, read_toml, validated
from envs.contract import Contract
from envs.hedging import HedgingWorld, Market
from envs.objective import AnyObjective
from envs.objectives.mean_shortfall import MeanShortfall
from envs.observation import Observer
from envs.types import BadInput, taken

FOLDER = Path(__file__).parent / "tasks"
DATA = Path(__file__).parent / "data"
STARTS = 131_072  # paths of a cohort that are burnt in at a time, so that memory stays flat


class MarketChoice(Section):
    """A file of `envs/markets/` by name, and what it asks for."""

    kind: str = "garch"
    settings: SerializeAsAny[Section]

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        register.public_class("envs.markets", kind)
        return kind

    @field_validator("settings", mode="before")
    @classmethod
    def _of_kind(cls, raw: Any, info: Any) -> Any:
        if not isinstance(raw, dict) or "kind" not in info.data:
            return raw
        listed = isinstance(raw.get("assets"), list | tuple)
        named = {"assets": [_calibration(each) for each in raw["assets"]]} if listed else {}
        return register.public_class("envs.markets", info.data["kind"]).Settings.model_validate({**raw, **named})

    def made(self, horizon: int, generator: Generator, dtype: torch.dtype) -> Market:
        """The market on the generator's device; `horizon`: bars of the longest forecast."""
        market: Market = register.public_class("envs.markets", self.kind)(
            self.settings, horizon, generator, dtype, generator.device
        )
        return market


def _calibration(raw: Any) -> Any:
    """A calibration by the name of its file in `envs/data/`, by its path, or spelled out."""
    if not isinstance(raw, str):
        return raw
    return Calibration.load(Path(raw) if raw.endswith(".toml") else DATA / f"{raw}.toml")


class Task(Section):
    id: str = Field(pattern="^[A-Za-z][A-Za-z0-9]*$")
    about: str  # the book, in words
    market: MarketChoice
    contract: Contract = Contract()
    objective: AnyObjective = MeanShortfall()

    @classmethod
    def load(cls, name: str | Path) -> Task:
        """A file, or the name of one in `envs/tasks/`. Raises BadInput, one line."""
        path = Path(name)
        if path.suffix != ".toml":
            path = FOLDER / f"{name}.toml"
            if not path.is_file():
                known = ", ".join(sorted(each.stem for each in FOLDER.glob("*.toml")))
                raise BadInput(f"task {name!r}: unknown; use a .toml file or one of {known}")
        return validated(cls, read_toml(path), str(path))

    @property
    def actions(self) -> int:
        """Numbers in one raw action: an offset and a stretch per hedging instrument."""
        return 2 * len(self.contract.hedges)

    def at(self, **values: float) -> Task:
        """The task with its dials there. Raises BadInput, one line; see `envs/dials.py`."""
        contract, objective = dials.turned(self.contract, self.objective, values)
        return self.model_copy(update={"contract": contract, "objective": objective})

    def market_for(self, generator: Generator, dtype: torch.dtype = torch.float32) -> Market:
        """The simulated market, whose filters forecast as far as any claim or hedge of the contract lives."""
        return self.market.made(self.contract.horizon, generator, dtype)

    def observer(self, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Observer:
        market = self.market_for(Generator(device), dtype)
        return Observer(self.contract, market.calibrations, market.filters, market.surfaces)

    def world(
        self,
        paths: int,
        hedgers: int,
        generator: Generator,
        dtype: torch.dtype = torch.float32,
        controlled: bool = False,
    ) -> HedgingWorld:
        """`hedgers` books on each of `paths` simulated markets, on the generator's device; see `HedgingWorld`."""
        market = self.market_for(generator, dtype)
        return HedgingWorld(market, self.contract, self.objective, paths, hedgers, generator, controlled)

    def cohort(self, paths: int, hedgers: int, generator: Generator, block: int) -> Iterator[HedgingWorld]:
        """Worlds of at most `block` paths each, `paths` in all, every one at the start of its episodes."""
        market = self.market_for(generator)
        for begun in range(0, paths, STARTS):
            state, memories = market.initial(min(STARTS, paths - begun))
            for first in range(0, len(memories[0].bars), block):
                part = slice(first, first + block)
                some = taken(memories, part)
                made = HedgingWorld(market, self.contract, self.objective, len(some[0].bars), hedgers, generator)
                made.begin(taken(state, part), some)
                yield made
