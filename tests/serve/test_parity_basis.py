"""Parity of carry trades: spot, or a perpetual elsewhere, held against the perpetual, at recorded funding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agents import card
from envs import decision
from envs.contract import Claim, Contract
from envs.hedging import HedgingWorld
from envs.instrument import Terms
from envs.instruments.perpetual import Perpetual
from envs.instruments.spot import Spot
from envs.margin import Collateral, Margin
from envs.markets.replay import ReplayMarket
from envs.recording import Recording
from envs.task import Task
from serve import feed as feeds
from serve.clock import DAY, HOUR, show
from serve.commands import Decision, Infer, Output
from serve.config import ServeConfig
from serve.events import BookFunded, BookSettled, BookTraded, Event
from serve.holdings import DTYPE
from serve.journal import Journal
from serve.market import DEVICE
from serve.runner import Core, replayed
from serve.session import Source, run
from tests.serve.books import task_of
from tests.serve.support import CALIBRATION, START, raw_config, save_model, write_bars

MEANS = (1e-4, -3e-4, 5e-4)  # of the days' rates of eight hours


def carry_task(claim: Spot | Perpetual) -> Task:
    margin = Margin(mode="isolated", collateral=(Collateral(amount=0.5),))
    claims = (Claim(instrument=claim, units=1.0),)
    contract = Contract(claims=claims, bars=48, decision_bars=4, notional=200_000.0, margin=margin)
    return task_of(contract, CALIBRATION)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Bars, and daily funding."""
    folder = tmp_path_factory.mktemp("bars")
    return str(write_bars(folder / "bars.csv", swing=0.012)), funding_file(folder, MEANS)


def funding_file(folder: Path, means: Sequence[float]) -> str:
    """Of the days from START's on."""
    rows = [f"{show(START // DAY * DAY + k * DAY)[:10]}T00:00:00Z,{mean}" for k, mean in enumerate(means)]
    (folder / "funding.csv").write_text("\n".join(["time,funding_mean", *rows]) + "\n")
    return str(folder / "funding.csv")


def served(folder: Path, files: tuple[str, str]) -> tuple[Core, list[Event], list[Output]]:
    events, outputs = list[Event](), list[Output]()

    def told(event: Event, more: tuple[Output, ...]) -> None:
        events.append(event)
        outputs.extend(more)

    raw = raw_config(model=str(folder / "model"), book__roll=False, execution__slice_seconds=1e9)
    journal = Journal(str(folder / "j.db"))
    source = Source((files[0],), START, 2, funding=(files[1],))
    core = run(ServeConfig.model_validate(raw), journal, source, told)
    replayed(journal)
    journal.close()
    return core, events, outputs


def simulated(files: tuple[str, str], of: Task, opened: BookTraded) -> HedgingWorld:
    """The served book on the bars' closes, in the precision that serving has."""
    closes, window = feeds.split(feeds.read_bars(files[0]), START, 48, 30, HOUR)
    spot = torch.tensor([*closes, *(bar.close for bar in window)], dtype=DTYPE)[:, None]
    paid, before = feeds.read_funding(files[1]), torch.cat([spot[:1], spot[:-1]])
    times = (START + (k + 1 - len(closes)) * HOUR for k in range(len(spot)))
    rate = torch.tensor([[paid.get(time // DAY, 0.0)] for time in times], dtype=DTYPE)
    record = Recording(spot, spot.minimum(before), spot.maximum(before), rate, torch.ones(len(spot), dtype=torch.bool))
    generator = torch.Generator()
    settings = ReplayMarket.Settings(assets=(CALIBRATION,))
    market = ReplayMarket(settings, of.contract.horizon, generator, DTYPE, DEVICE, record)
    world = HedgingWorld(market, of.contract, of.objective, 1, 1, generator)
    world.begin(*market.at(torch.tensor([len(closes) - 1])))
    units = torch.tensor([[float(opened.holding.units)]], dtype=DTYPE)
    terms = (Terms(torch.tensor([[48]])),)
    held = replace(world.episode.portfolio, base=(units[0],), units=(units,), terms=terms)
    book = replace(world.episode.book, claims=torch.tensor([[float(opened.premium)]], dtype=DTYPE))
    world.episode = replace(world.episode, portfolio=held, book=book)
    world.lots = lambda: torch.tensor([[[0.001]]], dtype=DTYPE)  # type: ignore[method-assign]
    world._observe()
    return world


@pytest.mark.parametrize("claim", [Spot(), Perpetual()], ids=["spot", "perpetual"])
@torch.no_grad()
def test_a_carry_trade_earns_served_what_it_earns_simulated(
    files: tuple[str, str], tmp_path: Path, claim: Spot | Perpetual
) -> None:
    of = carry_task(claim)
    network = card.load(save_model(tmp_path / "model", seed=14, of=of), DTYPE).network
    core, events, outputs = served(tmp_path, files)
    (opened,) = (event for event in events if isinstance(event, BookTraded))
    world, wanted = simulated(files, of, opened), []
    for _ in range(of.contract.decisions):
        band = decision.read(network(world.observation.features), world.observation)
        wanted.append(float(decision.orders(band, world.observation.scene, world.lots())[0, 0, 0]))
        world.advance(band)

    made = {each.time: each for each in outputs if isinstance(each, Decision) and each.source == "policy"}
    asked = [each.time for each in outputs if isinstance(each, Infer) and each.time in made]
    due = [made[time] for time in asked if time % (4 * HOUR) in (0, 1000)]
    assert [float(each.legs[0].wanted) for each in due] == pytest.approx(wanted, abs=1e-6)
    assert sum(order != 0 for order in wanted) == 9
    assert core.state is not None
    assert not core.state.book.holdings
    assert not core.state.ledger.position("BTC-PERP")
    final = -float(world.episode.loss) * of.contract.notional
    assert float(core.state.ledger.cash) == pytest.approx(final, abs=of.contract.notional * 2e-6)
    (settled,) = (event for event in events if isinstance(event, BookSettled))
    paid = [event for event in events if isinstance(event, BookFunded)]
    assert len(paid) == (48 if isinstance(claim, Perpetual) else 0)
    book = opened.premium + settled.cash + sum(each.cash for each in paid)
    assert core.state.ledger.book == book
