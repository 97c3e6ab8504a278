"""Gains by source: known in a market of constant volatility, and adding up to the loss in every book."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from agents import card as cards
from agents.classical.delta import Delta
from tests.train import support
from train import attribution, recorded
from train.recorded import Recording

pytestmark = pytest.mark.usefixtures("small_market")
PATHS = 64
FREE: list[dict[str, Any]] = [
    {
        "instrument": {"kind": "spot"},
        "lot_fraction": 0.0,
        "execution": {"tiers": [{"maker": 0.0, "taker": 0.0}], "impact": 0.0},
    }
]


def record(folder: Path, **contract: Any) -> Recording:
    return recorded.run(cards.load(support.save_model(folder, support.task(**contract))), PATHS, 3)


def terms(found: Recording, hedger: int) -> dict[str, torch.Tensor]:
    """(P,) of each source."""
    return dict(zip(attribution.TERMS, found.earned[:, hedger].unbind(-1), strict=True))


def test_a_delta_hedged_call_lives_of_gamma_and_theta(tmp_path: Path) -> None:
    """Constant volatility, a free hedge: nothing from delta, vega or basis, and gamma pays for theta on average."""
    found = record(tmp_path, market={"kind": "gbm", "settings": {"volatility": [0.6]}}, hedges=FREE)
    own = terms(found, found.agents.index(Delta.name))
    for name in ("delta", "vega", "basis", "income", "fees", "funding", "residual"):
        assert own[name].abs().max() < 2e-6, name
    assert (own["theta"] > 0).all()
    assert (own["gamma"] < 1e-7).all()
    unpaid = own["gamma"] + own["theta"] + own["slippage"]
    assert unpaid.mean().abs() < 4 * unpaid.std() / PATHS**0.5


@pytest.mark.parametrize(
    ("claims", "hedges", "residual"),
    [
        ([{"instrument": {"kind": "option", "bars": 24}}], [{"instrument": {"kind": "perpetual"}}], 2e-6),
        ([{"instrument": {"kind": "option", "bars": 24}}], support.WITH_OPTION, 2e-6),
        ([{"instrument": {"kind": "spot"}, "units": 1.0}], [{"instrument": {"kind": "future"}}], 2e-6),
        ([{"instrument": {"kind": "liquidity_position"}, "units": 1.0}], [{"instrument": {"kind": "perpetual"}}], 2e-3),
    ],
    ids=["option", "option among the hedges", "future", "pool, whose fees come in between decisions"],
)
def test_what_is_left_unexplained_is_small(
    tmp_path: Path, claims: list[dict[str, Any]], hedges: list[dict[str, Any]], residual: float
) -> None:
    """In the calibrated market, where volatility moves, positions are shut down and orders are late."""
    found = record(tmp_path, market=support.CALIBRATED, claims=claims, hedges=hedges, bars=24)
    torch.testing.assert_close(found.earned.sum(-1), -found.loss, atol=2e-6, rtol=0)
    typical = terms(found, 0)["residual"].abs().median()
    assert typical <= residual
    assert typical < 0.2 * found.loss[:, 0].std()


def test_costs_are_those_of_the_book(tmp_path: Path) -> None:
    """PPO pays more than nothing, and every hedge has its own bill."""
    found = record(tmp_path, hedges=[{"instrument": {"kind": "perpetual"}}])
    for j, name in enumerate(found.agents):
        own = terms(found, j)
        assert (own["fees"] < 0).all(), name
        assert (own["slippage"] < 0).all(), name
    assert (terms(found, 1)["fees"] != terms(found, 2)["fees"]).any()


def test_a_move_is_split_at_its_limits(tmp_path: Path) -> None:
    """No move, no time, no change: nothing earned; a perpetual's premium that opens is the basis'."""
    task = support.task()
    (generator,) = (torch.Generator().manual_seed(1),)
    world = task.world(4, 1, generator)
    world.reset(staggered=False)
    scene, terms = world.observation.scene, world.episode.terms[0]
    (view,) = scene.views
    perpetual = task.contract.hedges[0].instrument
    assert (attribution.unit(perpetual, terms, view, view, 0) == 0).all()
    dearer = attribution.unit(perpetual, terms, view, moved(view, mark=view.quote.mark + 2.0), 0)
    expected = torch.zeros_like(dearer)
    expected[..., attribution.MOVES.index("basis")] = 2.0
    torch.testing.assert_close(dearer, expected)


def moved(view: Any, **change: torch.Tensor) -> Any:
    return type(view)(type(view.quote)(**{**vars(view.quote), **change}), view.memory, view.surface, view.bar)
