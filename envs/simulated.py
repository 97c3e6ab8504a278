"""A world on the simulated market, put together from a calibration and a contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Generator

from envs import marks
from envs.calibration import Calibration
from envs.contract import Contract
from envs.hedging import HedgingWorld
from envs.markets.garch import GarchMarket
from envs.objective import MeanShortfall
from envs.observation import Observer
from envs.types import taken
from envs.volatility.memory import Filter

SHIPPED_CALIBRATION = Path(__file__).parent / "data" / "btc_2017_2022.toml"


def observer(calibration: Calibration, contract: Contract, dtype: torch.dtype, device: torch.device) -> Observer:
    """The builder of observations.

    With a filter that forecasts as far as the option or the quoted implied volatility reach.
    """
    horizon = max(contract.option_bars, marks.implied_horizon(calibration))
    return Observer(calibration, contract, Filter(calibration, dtype, device, horizon))


def world(
    calibration: Calibration,
    contract: Contract,
    objective: MeanShortfall,
    paths: int,
    hedgers: int,
    generator: Generator,
    dtype: torch.dtype = torch.float32,
    controlled: bool = False,
) -> HedgingWorld:
    """`hedgers` books on each of `paths` simulated markets, on the generator's device.

    `controlled` as in `HedgingWorld`.
    """
    built = observer(calibration, contract, dtype, generator.device)
    market = GarchMarket(calibration, built.filter, generator, dtype, generator.device)
    return HedgingWorld(market, built, objective, paths, hedgers, generator, controlled)


def cohort(
    calibration: Calibration,
    contract: Contract,
    objective: MeanShortfall,
    paths: int,
    hedgers: int,
    generator: Generator,
    block: int,
) -> Iterator[HedgingWorld]:
    """Worlds of at most `block` paths each, `paths` in all, every one at the start of its episodes."""
    built = observer(calibration, contract, torch.float32, generator.device)
    market = GarchMarket(calibration, built.filter, generator, torch.float32, generator.device)
    state, memory = market.initial(paths)
    for first in range(0, paths, block):
        part = slice(first, first + block)
        some = taken(memory, part)
        made = HedgingWorld(market, built, objective, len(some.bars), hedgers, generator)
        made.begin(taken(state, part), some)
        yield made
