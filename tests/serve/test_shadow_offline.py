"""A challenger's paired statistics against an evaluation of both policies on the same day in the simulator."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from agents import card
from envs import decision
from envs.task import Task
from serve.clock import SECOND, YEAR
from serve.codec import decode
from serve.commands import ShadowDecision
from serve.config import ServeConfig
from serve.events import BookTraded
from serve.holdings import DTYPE
from serve.journal import Journal
from serve.session import Source, run
from tests.serve.support import PERP, START, raw_config, save_model, write_bars
from tests.serve.test_parity import FIRST_SECOND, SWING, simulated_book, traded_on

LOT = 0.001


@torch.no_grad()
def evaluated(file: str, of: Task, sold: BookTraded, folder: Path) -> tuple[float, list[int]]:
    """Profit of the policy in `folder` over the two days, and its orders in lots."""
    world, network = simulated_book(file, of, sold, LOT), card.load(folder, DTYPE).network
    orders = list[int]()
    for _ in range(of.contract.decisions):
        action = network(world.observation.features)
        band = decision.read(action, world.observation)
        orders.append(round(float(decision.orders(band, world.observation.scene, world.lots())) / LOT))
        step = world.step(action[0])
    assert bool(step.terminated)
    return -float(step.loss) * of.contract.notional, orders


def test_the_shadow_earns_what_the_policy_earns_in_the_simulator(tmp_path: Path) -> None:
    """The same orders to the lot, and the same gain on ours but for the rounding of what is paid."""
    file, of = str(write_bars(tmp_path / "bars.csv", swing=SWING)), traded_on("plain")
    for name, seed in (("ours", 8), ("theirs", 9)):
        save_model(tmp_path / name, seed=seed, of=of)
    raw = raw_config(
        model=str(tmp_path / "ours"),
        challenger=str(tmp_path / "theirs"),
        book__roll=False,
        execution__slice_seconds=1e9,
    )
    journal = Journal(str(tmp_path / "j.db"))
    core = run(ServeConfig.model_validate(raw), journal, Source((file,), START, 2))
    items = [decode(entry.body) for entry in journal.read()]
    journal.close()
    assert core.state is not None
    assert core.state.shadow is not None
    sold = next(each for each in items if isinstance(each, BookTraded))
    (ours, _), (theirs, orders) = (evaluated(file, of, sold, tmp_path / name) for name in ("ours", "theirs"))
    made = [each for each in items if isinstance(each, ShadowDecision)]
    assert [round(float(each.legs[0].wanted) / LOT) for each in made] == orders
    shadow, real = core.state.shadow.ledger.account(PERP), core.state.ledger.account(PERP)
    assert shadow.position == real.position == 0
    assert abs(theirs - ours) > 10, "the two are not alike"
    assert float(shadow.cash - real.cash) == pytest.approx(theirs - ours, abs=2 * FIRST_SECOND + SECOND / YEAR + 0.01)
