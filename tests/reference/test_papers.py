"""The delta hedge's published rows, by configuration alone: the world's accounting is the papers'."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from agents.delta import Delta
from agents.no_hedge import NoHedge
from envs.decision import Band
from envs.seeding import generators
from envs.task import Task

LITERATURE = Path(__file__).parents[2] / "configs" / "literature"
PATHS = 100_000
ERRORS = 4.0  # standard errors, those of a digit that the source rounds beside ours


def final_losses(name: str) -> tuple[Tensor, Tensor]:
    """Final losses (PATHS, 2) over the notional of delta and of no hedge, and the premium over it."""
    (generator,) = generators(2, 1)
    world = Task.load(LITERATURE / f"{name}.toml").world(PATHS, 2, generator, dtype=torch.float64)
    world.reset(staggered=False)
    premium = world.episode.book.claims[0, 0] / world.contract.notional
    for _ in range(world.contract.decisions):
        bands = [agent.band(world.observation.of(j)) for j, agent in enumerate((Delta(), NoHedge()))]
        world.advance(Band(*(torch.cat([getattr(band, edge) for band in bands], 1) for edge in ("lower", "upper"))))
    return world.episode.loss, premium


@pytest.mark.parametrize(
    ("name", "premium", "mean", "deviation"),
    [  # Cao et al. (2021), table of the practitioner delta's cost, mean and standard deviation in % of the premium
        ("cao_gbm_1m_daily", 2.2565, 107.6, 37.7),
        ("cao_gbm_3m_daily", 3.9073, 90.6, 29.2),
        ("cao_sabr_1m_daily", 2.2584, 108.0, 38.1),
    ],
)
def test_delta_costs_what_the_paper_says(name: str, premium: float, mean: float, deviation: float) -> None:
    losses, received = final_losses(name)
    assert 100 * received.item() == pytest.approx(premium, abs=6e-5)
    cost = 100 * losses[:, 0] / received
    error = float(cost.std()) / PATHS**0.5
    kurtosis = float(((cost - cost.mean()) / cost.std()).pow(4).mean())
    spread_error = float(cost.std()) * ((kurtosis - 1) / 4 / PATHS) ** 0.5
    both = 2**0.5 * ERRORS  # the paper's own 100,001 paths err as much
    assert float(cost.mean()) == pytest.approx(mean, abs=both * error + 0.05)
    assert float(cost.std()) == pytest.approx(deviation, abs=both * spread_error + 0.05)


def test_the_entropic_price_of_delta_is_the_published_one() -> None:
    """Premium (1/λ)·ln E exp(λ·(loss + premium)) at λ = 100: 0.02493 by delta, 0.168 without a hedge."""
    losses, received = final_losses("no_transaction_band")
    for column, price, digit in ((0, 0.02493, 5e-6), (1, 0.168, 5e-4)):
        paid = 100 * (losses[:, column] + received)
        weight = torch.exp(paid - paid.max())
        found = (paid.max() + weight.mean().log()) / 100
        error = float(weight.std() / weight.mean()) / PATHS**0.5 / 100
        assert float(found) == pytest.approx(price, abs=2**0.5 * ERRORS * error + digit)
