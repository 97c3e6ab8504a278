"""The life of an order at the paper venue: its way, its queue, its limit, its end."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import pytest

from envs.costs import Execution, FeeTier
from serve.clock import HOUR, SECOND
from serve.commands import Ask, CancelOrder, LookUp, SubmitOrder
from serve.events import Absent, Acknowledged, Cancelled, Event, Filled, OrdersReport, Rejected
from serve.venues.paper import Paper
from tests.serve.papers import D, Traded, single
from tests.serve.support import PERP, SPOT, START, VENUE, quote


def kinds(events: tuple[Event, ...] | list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def fills(traded: Traded) -> list[Filled]:
    return [event for event in traded.heard if isinstance(event, Filled)]


def test_an_order_meets_the_book_of_when_it_arrives() -> None:
    """The book moved after it was sent and before it arrived, and again before anyone looked."""
    slow = Traded(single(), latency=2.0)
    assert slow.sends("a", "2", "21000") == ()
    assert slow.venue.look_up(LookUp(slow.now, "a")) == (Absent(slow.now, "a"),)
    slow.goes(SECOND, 20_100.0)
    assert fills(slow) == []
    slow.goes(2 * SECOND, 20_500.0)
    (fill,) = fills(slow)
    assert (fill.time, fill.units) == (slow.now, 2)
    assert 20_100 < fill.price < 20_110
    assert slow.sends("a", "2", "21000") != ()
    assert slow.holds() == 2


def test_an_order_that_expires_on_its_way_is_rejected() -> None:
    slow = Traded(single(), latency=2.0)
    slow.sends("a", "2", "21000", life=SECOND)
    (told,) = slow.venue.passed(slow.now + 2 * SECOND)
    assert told == Rejected(slow.now + 2 * SECOND, "a", "expired on its way")


def test_an_order_on_its_way_cannot_be_cancelled() -> None:
    slow = Traded(single(), latency=2.0)
    slow.sends("a", "2", "21000")
    assert slow.venue.cancel(CancelOrder(slow.now, "a")) == ()
    assert kinds(slow.venue.passed(slow.now + 2 * SECOND)) == ["Acknowledged", "Filled"]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_limit_fills_what_it_reaches(sign: int) -> None:
    """Average price mark·(1 + h + c·√(n / depth)): n by hand, in whole lots, from h = 1e-5, c = 2e-2, depth 5 M."""
    limit = D(SPOT) * (1 + sign * D("0.002"))
    traded = Traded(single(Execution(impact=2e-2)))
    told = traded.sends("a", str(sign * 10), str(limit))
    assert kinds(told) == ["Acknowledged", "Filled", "Cancelled"]
    notional = ((0.002 - 1e-5) / 2e-2) ** 2 * 5e6
    (fill,) = fills(traded)
    assert fill.units == sign * D(math.floor(notional / SPOT * 1000)) / 1000
    assert (fill.price - limit) * sign <= 0


def test_a_resting_order_fills_after_the_queue_ahead() -> None:
    """The market has to trade the depth of 5 M first, which takes it a fraction `impact` beyond the limit."""
    rests = Traded(single(Execution(impact=2e-3, tiers=(FeeTier(maker=1e-4, taker=5e-4),))))
    assert kinds(rests.sends("a", "2", "19900", post_only=True)) == ["Acknowledged"]
    assert rests.venue.report(Ask(rests.now, "orders")) == (OrdersReport(rests.now, ("a",)),)
    rests.goes(SECOND, 19_950.0, low=19_900.0)
    rests.goes(SECOND, 19_950.0, low=19_900 * (1 - 1.9e-3))
    assert fills(rests) == []
    rests.goes(SECOND, 19_950.0, low=19_900 * (1 - 1e-3))
    (fill,) = fills(rests)
    room = 5e6 * ((1.9e-3 / 2e-3) ** 2 + (1e-3 / 2e-3) ** 2 - 1) / 19_900
    assert room > 2
    assert (fill.units, fill.price, fill.fee) == (2, 19_900, D("3.98"))
    assert rests.venue.report(Ask(rests.now, "orders")) == (OrdersReport(rests.now, ()),)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_resting_order_fills_in_parts(sign: int) -> None:
    rests = Traded(single(Execution(impact=2e-3)))
    limit = SPOT * (1 - sign * 5e-3)
    rests.sends("a", str(sign * 10), str(limit), post_only=True)
    for step in (1, 2):
        rests.goes(SECOND, limit, **{"low" if sign > 0 else "high": limit * (1 - sign * 2.03e-3 / math.sqrt(step))})
    first, second = fills(rests)
    assert first.units == sign * D(math.floor(5e6 * (1.015**2 - 1) / limit * 1000)) / 1000
    assert first.units + second.units == sign * 10
    assert (first.trade, second.trade) == ("a/1", "a/2")
    assert rests.holds() == sign * 10


def test_a_resting_order_ends_when_it_expires_or_is_cancelled() -> None:
    rests = Traded(single())
    rests.sends("a", "2", "19000", life=SECOND, post_only=True)
    rests.sends("b", "2", "19000", post_only=True)
    rests.goes(SECOND, SPOT)
    assert "Cancelled" not in kinds(rests.heard)
    rests.goes(1, SPOT)
    assert rests.heard[-1] == Cancelled(rests.now, "a")
    assert rests.venue.cancel(CancelOrder(rests.now, "b")) == (Cancelled(rests.now, "b"),)
    rests.goes(SECOND, 15_000.0)
    assert fills(rests) == []


@pytest.mark.parametrize(("units", "limit"), [("2", "20001"), ("-2", "19999")])
def test_a_post_only_order_never_takes(units: str, limit: str) -> None:
    assert kinds(Traded(single()).sends("a", units, limit, post_only=True)) == ["Rejected"]


def test_reduce_only_is_measured_again_when_it_fills() -> None:
    """Two orders wait for the bar's end, each for all that is held: the second finds nothing left."""
    late = Traded(single(Execution(latency_bars=1)))
    late.sends("open", "3", "21000")
    assert kinds(late.venue.bar_ended(late.now + HOUR)) == ["Filled"]
    for name, units in (("a", "-2"), ("b", "-2"), ("c", "-2")):
        assert kinds(late.sends(name, units, "19000", reduce_only=True)) == ["Acknowledged"]
    ended = late.venue.bar_ended(late.now + 2 * HOUR)
    assert [event.units for event in ended if isinstance(event, Filled)] == [-2, -1]
    assert kinds(ended) == ["FundingPaid", "Filled", "Filled", "Cancelled", "Cancelled"]
    assert late.holds() == 0
    assert kinds(late.sends("d", "-1", "19000", reduce_only=True)) == ["Rejected"]


def test_what_is_no_quote_is_not_shown() -> None:
    traded = Traded(single())
    bad = quote(traded.now + 1, math.nan)
    assert (traded.venue.show(bad, traded.memory), traded.venue.moved(bad, traded.state)) == ((), ())
    assert isinstance(traded.sends("a", "2", "20400")[0], Acknowledged)
    assert Decimal("19990") < fills(traded)[0].price < Decimal("20010")


def restarted(traded: Traded, told: list[Event], *orders: SubmitOrder) -> Paper:
    """The venue made anew from what the journal held when the process died."""
    again = Paper(traded.market, VENUE.model_copy(update={"latency_seconds": traded.latency}))
    again.remember([quote(START), *told], {each.order: each for each in orders}, traded.state)
    return again


def sent(units: str, limit: str, life: int = HOUR, post_only: bool = False) -> SubmitOrder:
    return SubmitOrder(START, "a", PERP, D(units), D(limit), START + life, False, post_only)


def test_an_order_on_its_way_arrives_after_a_restart() -> None:
    slow = Traded(single(), latency=2.0)
    again = restarted(slow, [], sent("2", "21000"))
    assert kinds(again.look_up(LookUp(START + SECOND, "a"))) == ["Absent"]
    assert kinds(again.look_up(LookUp(START + 2 * SECOND, "a"))) == ["Acknowledged", "Filled"]
    assert again.passed(START + 3 * SECOND) == (), "once"


def test_an_order_that_could_come_no_more_when_the_process_died_stays_away() -> None:
    slow = Traded(single(), latency=2.0)
    slow.state = replace(slow.state, time=START + 2 * HOUR)
    assert kinds(restarted(slow, [], sent("2", "21000")).look_up(LookUp(slow.state.time, "a"))) == ["Absent"]


def test_a_late_order_fills_after_a_restart_too() -> None:
    late = Traded(single(Execution(latency_bars=1)))
    again = restarted(late, list(late.sends("a", "2", "21000")), sent("2", "21000"))
    assert kinds(again.bar_ended(START + HOUR)) == ["Filled"]
    assert kinds(again.bar_ended(START + 2 * HOUR)) == ["FundingPaid"]


def test_a_resting_order_keeps_its_rest_over_a_restart_and_its_place_to_nobody() -> None:
    """At the end of the queue again, as nobody knows where it stood."""
    traded = Traded(single(Execution(impact=1e-3)))
    traded.sends("a", "400", "19900", post_only=True)
    traded.goes(SECOND, 19_940.0, low=19_875.0)
    (part,) = fills(traded)
    again = restarted(traded, traded.heard, sent("400", "19900", post_only=True))
    assert again.report(Ask(traded.now, "orders")) == (OrdersReport(traded.now, ("a",)),)
    traded.venue = again
    traded.goes(SECOND, 19_940.0, low=19_890.0)
    assert len(fills(traded)) == 1, "the queue ahead came first"
    traded.goes(SECOND, 19_700.0)
    assert [each.trade for each in fills(traded)] == ["a/1", "a/2"]
    assert sum(each.units for each in fills(traded)) == 400
    assert part.units < 400


def test_what_was_told_of_orders_is_kept_for_a_while_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """And an old order, sent again, does not trade again."""
    monkeypatch.setattr("serve.venues.records.KEPT", 2)
    traded = Traded(single())
    for name in "abc":
        traded.sends(name, "1", "21000", life=SECOND)
    known = {name: kinds(traded.venue.look_up(LookUp(traded.now, name))) for name in "abc"}
    assert known == {"a": ["Absent"], "b": ["Acknowledged", "Filled"], "c": ["Acknowledged", "Filled"]}
    held = traded.holds()
    old = SubmitOrder(START, "a", PERP, D(1), D(21_000), START + SECOND, reduce_only=False)
    traded.goes(2 * SECOND, SPOT)
    assert kinds(traded.venue.submit(replace(old, time=traded.now))) == ["Rejected"]
    assert traded.holds() == held
