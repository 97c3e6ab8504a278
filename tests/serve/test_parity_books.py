"""Parity of books: two assets with a leg each, and an option book with a listed option as a leg."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import torch

from agents import card
from envs import decision
from envs.hedging import HedgingWorld
from envs.instruments.option import OptionTerms
from envs.markets.replay import ReplayMarket
from envs.recording import Recording, usual
from envs.task import Task
from serve import feed as feeds
from serve.clock import HOUR
from serve.commands import Decision, Infer, Output
from serve.config import ServeConfig
from serve.events import BookTraded, Event, Listed
from serve.holdings import DTYPE
from serve.journal import Journal
from serve.market import DEVICE
from serve.runner import Core, replayed
from serve.session import Source, run
from tests.serve.books import option_config, option_task, pair_config, pair_task
from tests.serve.support import START, save_model, write_bars

WIDE = 0.012  # swing of the bars


def parts(files: tuple[str, ...]) -> list[tuple[tuple[float, ...], list[feeds.Bar]]]:
    return [feeds.split(feeds.read_bars(file), START, 48, 30, HOUR) for file in files]


def simulated(files: tuple[str, ...], of: Task) -> HedgingWorld:
    """One book on the bars' closes, in the precision that serving has."""
    columns = [[*closes, *(bar.close for bar in window)] for closes, window in parts(files)]
    spot = torch.tensor(columns, dtype=DTYPE).T.contiguous()
    before = torch.cat([spot[:1], spot[:-1]])
    calibrations = of.market.settings.assets  # type: ignore[attr-defined]
    rate = torch.tensor([[usual(each) for each in calibrations]], dtype=DTYPE).expand_as(spot)
    record = Recording(spot, spot.minimum(before), spot.maximum(before), rate, torch.ones(len(spot), dtype=torch.bool))
    generator = torch.Generator()
    settings = ReplayMarket.Settings(assets=calibrations)
    market = ReplayMarket(settings, of.contract.horizon, generator, DTYPE, DEVICE, record)
    world = HedgingWorld(market, of.contract, of.objective, 1, 1, generator)
    world.begin(*market.at(torch.tensor([30])))
    return world


def served(folder: Path, files: tuple[str, ...], raw: dict[str, Any]) -> tuple[Core, list[Event], list[Output]]:
    events, outputs = list[Event](), list[Output]()

    def told(event: Event, more: tuple[Output, ...]) -> None:
        events.append(event)
        outputs.extend(more)

    journal = Journal(str(folder / "j.db"))
    core = run(ServeConfig.model_validate(raw), journal, Source(files, START, 2), told)
    replayed(journal)
    journal.close()
    return core, events, outputs


def with_book(world: HedgingWorld, events: list[Event], lots: tuple[float, ...]) -> None:
    """The served book's units, strikes and expiries, to the decimal, and the served lots."""
    trades = [event for event in events if isinstance(event, BookTraded)]
    portfolio, units, terms = world.episode.portfolio, [], []
    start = trades[0].time // HOUR
    for c, claim in enumerate(world.contract.claims):
        own = [trade.holding for trade in trades if trade.holding.id.split("-")[1] == str(c + 1)]
        assert len(own) == claim.count
        units.append(torch.tensor([[float(each.units) for each in own]], dtype=DTYPE))
        strikes = torch.tensor([[each.strike for each in own]], dtype=DTYPE)
        left = torch.tensor([[(each.expiry or 0) // HOUR - start for each in own]])
        terms.append(OptionTerms(left, strikes))
    gross = [
        sum(float(u.abs().sum()) for c, u in zip(world.contract.claims, units, strict=True) if c.instrument.asset == a)
        for a in range(world.contract.assets)
    ]
    means = [
        sum(c.count * mean(c.units) for c in world.contract.claims if c.instrument.asset == a)
        for a in range(world.contract.assets)
    ]
    base = tuple(torch.tensor([g / m], dtype=DTYPE) for g, m in zip(gross, means, strict=True))
    held = replace(portfolio, base=base, units=tuple(units), terms=tuple(terms))
    premium = torch.tensor([float(sum(trade.premium for trade in trades))], dtype=DTYPE)
    book = replace(world.episode.book, claims=premium[:, None])
    legs = list(world.episode.terms)
    for event in events:
        if isinstance(event, Listed):
            legs[0] = OptionTerms(
                torch.tensor([[event.expiry // HOUR - start]]), torch.tensor([[event.strike]], dtype=DTYPE)
            )
    world.episode = replace(world.episode, portfolio=held, book=book, terms=tuple(legs))
    world.lots = lambda: torch.tensor([[lots]], dtype=DTYPE)  # type: ignore[method-assign]
    world._observe()


def mean(units: float | tuple[float, float]) -> float:
    """Of |u|, u uniform between the ends."""
    if not isinstance(units, tuple):
        return abs(units)
    low, high = units
    return (low**2 + high**2) / (2 * (high - low))


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("bars")
    one = write_bars(folder / "one.csv", swing=WIDE)
    rows = [line.split(",") for line in one.read_text().splitlines()]
    other = folder / "other.csv"
    moved = [
        ",".join([time, *(f"{float(price) ** 0.7:.4f}" for price in prices), "1"]) for time, *prices, _ in rows[1:]
    ]
    other.write_text("\n".join([",".join(rows[0]), *moved]) + "\n")
    return str(one), str(other)


@pytest.mark.parametrize("name", ["pair", "options"])
@torch.no_grad()
def test_books_are_seen_and_traded_the_same_served_and_simulated(
    bars: tuple[str, str], tmp_path: Path, name: str
) -> None:
    of, files = (pair_task(), bars) if name == "pair" else (option_task(), bars[:1])
    config = pair_config if name == "pair" else option_config
    model = card.load(save_model(tmp_path / "model", seed=5, of=of), DTYPE)
    raw = config(model=str(tmp_path / "model"), book__roll=False, execution__slice_seconds=1e9)
    core, events, outputs = served(tmp_path, files, raw)
    world = simulated(files, of)
    with_book(world, events, tuple(float(leg["lot"]) for leg in raw["legs"]))
    seen, orders = [], []
    for _ in range(of.contract.decisions):
        seen.append(world.observation.features[0, 0])
        band = decision.read(model.network(world.observation.features), world.observation)
        orders.append(decision.orders(band, world.observation.scene, world.lots())[0, 0])
        world.advance(band)
    final = -float(world.episode.loss) * of.contract.notional

    made = [each for each in outputs if isinstance(each, Decision) and each.source == "policy"]
    decided = {made_at.time: made_at for made_at in made}
    asked = [each for each in outputs if isinstance(each, Infer) and each.time in decided]
    first_of_bar = [each for each in asked if each.time % (4 * HOUR) in (0, 1000)]
    apart = torch.tensor([each.features for each in first_of_bar], dtype=DTYPE) - torch.stack(seen)
    assert float(apart[:, :-1].abs().max()) < 1e-9
    assert float(apart[:, -1].abs().max()) < 1e-4
    wanted = torch.tensor(
        [[float(leg.wanted) for leg in decided[each.time].legs] for each in first_of_bar], dtype=DTYPE
    )
    assert float((wanted - torch.stack(orders)).abs().max()) < 1e-6
    assert int((wanted != 0).sum()) >= 6
    assert core.state is not None
    assert not any(account.position for account in core.state.ledger.accounts.values())
    assert float(core.state.ledger.cash) == pytest.approx(final, abs=of.contract.notional * 2e-6 * len(files))
    assert core.state.ledger.cash != Decimal(0)
