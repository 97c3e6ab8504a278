"""What keeps the simulated spot a martingale bar by bar: the shock's compensator and the cascades' excess."""

from __future__ import annotations

import math

import pytest
import torch

from envs import shocks
from envs.calibration import Calibration
from envs.markets import garch
from envs.task import DATA
from envs.types import BadInput, polynomial
from envs.volatility.memory import Filter

BTC = Calibration.load(DATA / "btc_2017_2022.toml")
LAW = garch._Law(BTC, Filter(BTC, torch.float64, torch.device("cpu"), 720))


@pytest.mark.parametrize("annual", [0.1, 0.7, 3.0, 20.0])
def test_an_ordinary_shock_moves_the_expected_price_nowhere(annual: float) -> None:
    """The mean over every rank is the expectation."""
    variance = torch.tensor(annual**2 * LAW.bar, dtype=torch.float64)
    move = variance.sqrt() * LAW.moves[: garch.ATOMS] - variance * polynomial(LAW.level, variance)
    assert float(move.exp().mean()) == pytest.approx(1, rel=0, abs=2 * garch.LEVEL_ERROR)


def test_a_tail_too_long_for_the_series_is_refused() -> None:
    with pytest.raises(BadInput, match="truncation"):
        garch._level(garch.shock_atoms(2.1, 40.0), 0.3)


def test_the_excess_is_that_of_the_cascades_to_half_a_point() -> None:
    """Off by half the table's step, and by the curvature between the knots."""
    generator = torch.Generator().manual_seed(0)
    deviation = torch.rand(500, generator=generator, dtype=torch.float64) * LAW.widest
    exact = shocks.mean_factor(BTC.shocks, deviation) - 1
    knots = LAW.excess[:: (garch.CURVE - 1) // (garch.KNOTS - 1)]
    bound = LAW.excess.diff().abs().max() / 2 + knots.diff(n=2).abs().max()
    assert float((LAW._excess(deviation) - exact).abs().max()) < float(bound)


def test_a_cascade_of_every_rank_moves_as_its_law_says() -> None:
    """Ranks of cascades follow those of ordinary shocks in the table, the deepest fall first."""
    cascades = LAW.moves[garch.ATOMS :]
    assert (cascades.diff() >= 0).all()
    deviation = 0.01
    factor = (deviation * cascades).clamp(-BTC.shocks.max_fall, BTC.shocks.max_rise).exp().mean()
    exact = shocks.mean_factor(BTC.shocks, torch.tensor([deviation], dtype=torch.float64))
    assert float(factor) == pytest.approx(float(exact), rel=0, abs=1 / shocks.QUADRATURE * math.log(shocks.QUADRATURE))
