from __future__ import annotations

from decimal import Decimal

import pytest
import torch

from envs import costs
from envs.contract import Hedge
from envs.costs import Execution, FeeTier, Fill, Schedule, Tradable
from serve.clock import HOUR
from serve.commands import CancelOrder, LookUp, SubmitOrder
from serve.engine import Engine
from serve.events import Absent, Acknowledged, Cancelled, Event, Filled, FundingPaid, Rejected
from serve.holdings import DTYPE
from serve.market import DEVICE, Market, quote_tensors
from serve.venues.paper import Paper
from tests.serve.support import ASSETS, LEGS, PERP, START, VENUE, quote, started, task

D = Decimal
TIERED = Execution(
    tiers=(FeeTier(), FeeTier(volume=20_000, maker=0.0, taker=3e-4)), passive_share=0.4, gas=0.7, gas_stress=3.0
)


def on(execution: Execution) -> Market:
    return Market(task(hedges=(Hedge(execution=execution),)), ASSETS, LEGS)


MARKET = Market(task(), ASSETS, LEGS)
MEMORY = MARKET.filters[0].initial(1)


@pytest.fixture
def venue() -> Paper:
    return showing(Execution())


def showing(execution: Execution, seed: int = 0, congestion: float = 0.0) -> Paper:
    made = Paper(on(execution), VENUE.model_copy(update={"seed": seed}))
    made.show(quote(START, congestion=congestion), MEMORY)
    return made


def order(units: str = "2", limit: str = "20400", name: str = "o") -> SubmitOrder:
    return SubmitOrder(START, name, PERP, D(units), D(limit), START + HOUR, reduce_only=False)


def remembering(venue: Paper, events: list[Event]) -> None:
    """As on a restart: every order was for two of the perpetual."""
    names = [event.order for event in events if isinstance(event, Acknowledged | Rejected)]
    venue.remember(events, {name: order(name=name) for name in names}, Engine.opened(started()).initial())


def filled(events: tuple[Event, ...]) -> Filled:
    assert isinstance(events[0], Acknowledged)
    assert isinstance(events[1], Filled)
    return events[1]


def simulated(execution: Execution, units: str, traded: float = 0.0, congestion: float = 0.0) -> Fill:
    schedule = Schedule.of([execution], DTYPE, DEVICE)
    tradable = Tradable.perpetual(quote_tensors(quote(START, congestion=congestion)))
    trade, before = (torch.full((1, 1, 1), value, dtype=DTYPE) for value in (float(units), traded))
    return costs.fills(schedule, tradable, trade, before)


@pytest.mark.parametrize("units", ["2", "-1.234"])
@pytest.mark.parametrize("execution", [Execution(), TIERED])
def test_fills_as_the_simulator_does(units: str, execution: Execution) -> None:
    """Twice, with what was traded before: the second order reaches the lower tier."""
    venue, limit = showing(execution, congestion=0.2), "20400" if D(units) > 0 else "19600"
    for name, traded in (("a", 0.0), ("b", abs(float(units)) * 20_000)):
        fill = filled(venue.submit(order(units, limit, name)))
        expected = simulated(execution, units, traded, 0.2)
        assert float(fill.price) == pytest.approx(expected.price.item(), abs=1e-8)
        assert float(fill.fee) == pytest.approx((expected.fee + expected.gas).item(), abs=1e-8)
        assert fill.units == D(units)


def test_the_same_id_never_trades_twice(venue: Paper) -> None:
    first = venue.submit(order())
    venue.show(quote(START + 1, 30_000.0), MEMORY)
    assert venue.submit(order()) == first
    assert venue.look_up(LookUp(START, "o")) == first
    assert venue.accrue(START, "BTC") == ()
    venue.show(quote(START + 2, 40_000.0), MEMORY)
    paid = venue.accrue(START + HOUR, "BTC")[0]
    assert isinstance(paid, FundingPaid)
    assert float(paid.cash) == pytest.approx(-2 * 30_000 * 0.05 / 8760, abs=1e-8)


def test_beyond_its_limit_it_cancels(venue: Paper) -> None:
    assert [type(event) for event in venue.submit(order("2", "20000"))] == [Acknowledged, Cancelled]
    assert [type(event) for event in venue.submit(order("-2", "20000", "p"))] == [Acknowledged, Cancelled]


@pytest.mark.parametrize("units", ["0.0005", "0"])
def test_no_whole_lot_is_rejected(venue: Paper, units: str) -> None:
    assert isinstance(venue.submit(order(units))[0], Rejected)


def test_without_a_market_it_rejects() -> None:
    assert isinstance(Paper(MARKET, VENUE).submit(order())[0], Rejected)


def test_it_says_what_it_does_not_have(venue: Paper) -> None:
    assert venue.look_up(LookUp(START, "never")) == (Absent(START, "never"),)
    assert venue.cancel(CancelOrder(START, "never")) == ()


def test_it_remembers_what_the_journal_says(venue: Paper) -> None:
    """A look-up journals the same answers once more: they are one fill."""
    answer = venue.submit(order())
    again = Paper(MARKET, VENUE)
    remembering(again, [quote(START), *answer, *venue.look_up(LookUp(START + 1, "o"))])
    again.show(quote(START + 1, 30_000.0), MEMORY)
    assert again.submit(order()) == answer
    venue.show(quote(START + 1, 30_000.0), MEMORY)
    assert again.accrue(START + HOUR, "BTC") == venue.accrue(START + HOUR, "BTC") != ()


@pytest.mark.parametrize(("units", "sign"), [("9", 1), ("-9", -1)])
def test_what_the_depth_does_not_allow_is_cancelled(units: str, sign: int) -> None:
    thin = Execution(participation=0.00601)  # of 5 M at 20,000: 1.5025 units
    answer = showing(thin).submit(order(units, "20400" if sign > 0 else "19600"))
    fill = filled(answer)
    assert (fill.units, type(answer[2])) == (sign * D("1.502"), Cancelled)
    assert float(fill.price) == pytest.approx(simulated(thin, str(fill.units)).price.item(), abs=1e-8)


@pytest.mark.parametrize("units", [D(k) / 1000 for k in range(1, 400, 7)])
def test_what_the_depth_allows_fills_whole(units: Decimal) -> None:
    """However the units round as floats."""
    answer = showing(Execution(participation=0.9)).submit(order(str(units)))
    assert (len(answer), filled(answer).units) == (2, units)


def test_late_orders_fill_when_the_bar_ends_at_the_quote_of_then() -> None:
    venue = showing(Execution(latency_bars=1))
    assert [type(event) for event in venue.submit(order())] == [Acknowledged]
    venue.show(quote(START + HOUR, 20_100.0), MEMORY)
    assert venue.accrue(START + HOUR, "BTC") == (), "nothing was held during the bar"
    (fill,) = venue.bar_ended(START + HOUR)
    assert isinstance(fill, Filled)
    assert (fill.time, fill.units) == (START + HOUR, 2)
    assert 20_100 < fill.price < 20_110
    assert venue.bar_ended(START + HOUR) == ()
    assert [type(event) for event in venue.look_up(LookUp(START, "o"))] == [Acknowledged, Filled]


def test_a_late_order_can_be_cancelled() -> None:
    venue = showing(Execution(latency_bars=1))
    venue.submit(order())
    assert venue.cancel(CancelOrder(START + 1, "o")) == (Cancelled(START + 1, "o"),)
    assert venue.bar_ended(START + HOUR) == ()


def fates(execution: Execution, seed: int, congestion: float, count: int = 400) -> list[str]:
    """What became of orders at once: the last answer to each."""
    venue = showing(execution, seed, congestion)
    return [type(venue.submit(order(name=f"o{k}"))[-1]).__name__ for k in range(count)]


def test_rejections_and_delays_come_as_often_as_the_task_says() -> None:
    """At half congestion half as often, within four standard errors; when calm never; by the seed, always alike."""
    busy = Execution(rejection=0.6, delay=0.2)
    seen = fates(busy, 1, 0.5)
    for fate, chance in (("Rejected", 0.3), ("Acknowledged", 0.1)):
        assert abs(seen.count(fate) / 400 - chance) < 4 * (chance * (1 - chance) / 400) ** 0.5
    assert set(fates(busy, 1, 0.0, 50)) == {"Filled"}
    assert fates(busy, 1, 0.5) == seen != fates(busy, 2, 0.5)


def test_a_restart_draws_on() -> None:
    busy = Execution(rejection=0.5)
    whole, cut = showing(busy, 3, 0.9), showing(busy, 3, 0.9)
    first = [event for k in range(10) for event in whole.submit(order(name=f"o{k}"))]
    remembering(cut, [quote(START, congestion=0.9), *first])
    later = [order(name=f"o{k}") for k in range(10, 40)]
    assert [cut.submit(each) for each in later] == [whole.submit(each) for each in later]
