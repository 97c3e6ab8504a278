from __future__ import annotations

from decimal import Decimal

import pytest
import torch

from envs import costs
from serve.clock import HOUR
from serve.commands import CancelOrder, LookUp, SubmitOrder
from serve.events import Absent, Acknowledged, Cancelled, Event, Filled, FundingPaid, Rejected
from serve.market import quote_tensors
from serve.venues.paper import Paper
from tests.serve.support import CONTRACT, START, quote

D = Decimal


@pytest.fixture
def venue() -> Paper:
    made = Paper(CONTRACT, D("0.001"))
    made.show(quote(START))
    return made


def order(units: str = "2", limit: str = "20400", name: str = "o") -> SubmitOrder:
    return SubmitOrder(START, name, D(units), D(limit))


def filled(events: tuple[Event, ...]) -> Filled:
    assert isinstance(events[0], Acknowledged)
    assert isinstance(events[1], Filled)
    return events[1]


@pytest.mark.parametrize("units", ["2", "-1.234"])
def test_fills_as_the_simulator_does(venue: Paper, units: str) -> None:
    fill = filled(venue.submit(order(units, "20400" if D(units) > 0 else "19600")))
    trade = torch.tensor([[float(units)]], dtype=torch.float64)
    price = costs.fill_price(quote_tensors(quote(START)), trade, CONTRACT.impact)
    assert float(fill.price) == pytest.approx(price.item(), abs=1e-8)
    assert float(fill.fee) == pytest.approx(costs.fee(price, trade, CONTRACT.fee_rate).item(), abs=1e-7)
    assert fill.units == D(units)


def test_the_same_id_never_trades_twice(venue: Paper) -> None:
    first = venue.submit(order())
    venue.show(quote(START + 1, 30_000.0))
    assert venue.submit(order()) == first
    assert venue.look_up(LookUp(START, "o")) == first
    assert venue.accrue(START) == ()
    venue.show(quote(START + 2, 40_000.0))
    paid = venue.accrue(START + HOUR)[0]
    assert isinstance(paid, FundingPaid)
    assert float(paid.cash) == pytest.approx(-2 * 30_000 * 0.05 / 8760, abs=1e-8)


def test_beyond_its_limit_it_cancels(venue: Paper) -> None:
    assert [type(event) for event in venue.submit(order("2", "20000"))] == [Acknowledged, Cancelled]
    assert [type(event) for event in venue.submit(order("-2", "20000", "p"))] == [Acknowledged, Cancelled]


@pytest.mark.parametrize("units", ["0.0005", "0"])
def test_no_whole_lot_is_rejected(venue: Paper, units: str) -> None:
    assert isinstance(venue.submit(order(units))[0], Rejected)


def test_without_a_market_it_rejects() -> None:
    assert isinstance(Paper(CONTRACT, D("0.001")).submit(order())[0], Rejected)


def test_it_says_what_it_does_not_have(venue: Paper) -> None:
    assert venue.look_up(LookUp(START, "never")) == (Absent(START, "never"),)
    assert venue.cancel(CancelOrder(START, "never")) == ()


def test_it_remembers_what_the_journal_says(venue: Paper) -> None:
    answer = venue.submit(order())
    again = Paper(CONTRACT, D("0.001"))
    again.remember([quote(START), *answer])
    again.show(quote(START + 1, 30_000.0))
    assert again.submit(order()) == answer
