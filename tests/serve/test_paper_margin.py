"""The paper venue's account: liquidation, auto-deleveraging, expiry and what it can afford."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from envs.margin import Collateral, Margin
from serve.clock import HOUR, SECOND
from serve.commands import Ask, SubmitOrder
from serve.events import BalanceReport, Cancelled, Deleveraged, Event, Filled, Rejected
from serve.market import Listing, Market
from serve.state import Opening
from serve.venues.paper import Paper
from tests.serve.books import ASSETS, ETH, OPTION_LEGS, PAIR_LEGS, ether, option_task, pair_task
from tests.serve.papers import D, Traded, single, standing
from tests.serve.support import PERP, SPOT, START, VENUE, quote

WIDE = Margin(mode="isolated", collateral=(Collateral(amount=0.5),))  # of a notional of 200,000
TIGHT = Margin(mode="isolated", collateral=(Collateral(amount=0.05),))


def closed(traded: Traded) -> list[Deleveraged]:
    return [event for event in traded.heard if isinstance(event, Deleveraged)]


def balance(venue: Paper, now: int) -> BalanceReport:
    (report,) = venue.report(Ask(now, "balance"))
    assert isinstance(report, BalanceReport)
    return report


def test_a_liquidation_by_hand() -> None:
    """20 bought for 400,120 or so on 100,000 of collateral: closed at the low, for the fee of 0.5 %."""
    traded = Traded(single(margin=WIDE))
    traded.sends("a", "20", "20400")
    traded.goes(SECOND, 15_400.0, low=15_300.0)
    assert closed(traded) == []
    assert 0 < balance(traded.venue, traded.now).margin_use < 1
    traded.sends("rest", "1", "15000", post_only=True)
    traded.goes(SECOND, 15_400.0, low=15_100.0)
    (gone,) = closed(traded)
    assert (gone.units, gone.why) == (-20, "liquidated")
    assert float(gone.price) == pytest.approx(15_100 * (1 - 0.005), abs=1e-6)
    assert traded.holds() == 0
    assert traded.heard[-1] == Cancelled(traded.now, "rest")


def test_no_more_is_lost_than_was_posted() -> None:
    """A gap through the collateral: the insurance fund bears the rest."""
    traded = Traded(single(margin=WIDE))
    traded.sends("a", "20", "20400")
    traded.goes(SECOND, 10_000.0)
    lost = balance(traded.venue, traded.now).cash
    assert float(lost) == pytest.approx(-100_000, abs=1e-6)


def test_a_doubted_quote_closes_nothing() -> None:
    traded = Traded(single(margin=WIDE))
    traded.sends("a", "20", "20400")
    bad = quote(traded.now + 1, 10_000.0)
    assert traded.venue.show(bad, traded.memory) == ()
    assert traded.venue.moved(bad, traded.state) == ()
    assert traded.holds() == 20


def test_margin_counts_from_when_the_book_was_last_empty() -> None:
    """Lost before, and made good by the desk since: the same account as one that begins."""
    traded = Traded(single(margin=WIDE))
    traded.sends("a", "20", "20400")
    traded.goes(SECOND, 16_000.0)
    spent = traded.state.opening
    assert spent.worth == {}
    worth = balance(traded.venue, traded.now).cash + 20 * Decimal(16_000)
    traded.state = replace(traded.state, opening=Opening(worth={PERP: worth}))
    traded.goes(SECOND, 15_000.0)
    assert closed(traded) == []
    assert traded.holds() == 20


def test_an_order_that_the_account_cannot_carry_is_rejected() -> None:
    """10,000 carry 800,000 at 1/80: 40 units at 20,000, and one that shrinks the position passes in any case."""
    traded = Traded(single(margin=TIGHT))
    (told,) = traded.sends("a", "41", "20400")
    assert told == Rejected(traded.now, "a", "not enough margin")
    assert isinstance(traded.sends("b", "39", "20400")[-1], Filled)
    assert isinstance(traded.sends("c", "-78.5", "19600")[-1], Rejected)
    assert isinstance(traded.sends("d", "-60", "19600")[-1], Filled)


@pytest.mark.parametrize(("spot", "left"), [(21_000.0, "3"), (19_000.0, "4")])
def test_a_winner_is_deleveraged_in_whole_lots_at_the_mark(spot: float, left: str) -> None:
    traded = Traded(single())
    traded.sends("a", "4", "20400")
    traded.goes(SECOND, spot, deleveraged=0.2501)
    assert traded.holds() == D(left)
    assert all((each.price, each.why) == (D(spot), "deleveraged") for each in closed(traded))


def buying(venue: Paper, symbol: str, units: str, now: int = START) -> tuple[Event, ...]:
    limit = D("1e6") if D(units) > 0 else D(1)
    return venue.submit(SubmitOrder(now, f"{symbol}{units}", symbol, D(units), limit, now + HOUR, False))


def pair() -> tuple[Paper, Market]:
    """Two assets under cross margin: 100,000 in cash and 50,000 in BTC, a tenth of which does not count."""
    market = Market(pair_task(), ASSETS, PAIR_LEGS)
    venue = Paper(market, VENUE)
    for k, tick in enumerate((quote(START), ether(START))):
        venue.show(tick, market.filters[k].initial(1))
    venue.moved(tick, standing({"BTC": quote(START), "ETH": ether(START)}))
    return venue, market


def test_gains_in_one_asset_carry_losses_in_another() -> None:
    """Long BTC and short ETH, both fall by a quarter: a loss of 140,000 against a gain of 100,000."""
    for hedged in (True, False):
        venue, market = pair()
        buying(venue, "BTC-PERP", "28")
        if hedged:
            buying(venue, "ETH-PERP", "-400")
        events: list[Event] = []
        ticks = {"ETH": ether(START + 1, ETH * 0.75), "BTC": quote(START + 2, SPOT * 0.75)}
        for asset, tick in ticks.items():
            venue.show(tick, market.filters[market.assets[asset]].initial(1))
            before = {"BTC": quote(START), "ETH": ether(START)}
            events += venue.moved(tick, standing({**before, **ticks}))
        assert [event.why for event in events if isinstance(event, Deleveraged)] == ([] if hedged else ["liquidated"])


def test_a_cross_liquidation_closes_every_leg_for_the_fee() -> None:
    """Both long, both fall: 7,000 of equity do not carry 702,000 at 1/80; the fee is 0.5 % of it, over both legs."""
    venue, market = pair()
    for symbol, units in (("BTC-PERP", "27"), ("ETH-PERP", "300")):
        assert isinstance(buying(venue, symbol, units)[-1], Filled)
    before = balance(venue, START).cash
    ticks = {"ETH": ether(START + 1, ETH * 0.9), "BTC": quote(START + 2, SPOT * 0.8)}
    events: list[Event] = []
    for asset, tick in ticks.items():
        venue.show(tick, market.filters[market.assets[asset]].initial(1))
        events += venue.moved(tick, standing({"BTC": quote(START), "ETH": ether(START), **ticks}))
    assert [(e.symbol, e.units) for e in events if isinstance(e, Deleveraged)] == [
        ("BTC-PERP", -27),
        ("ETH-PERP", -300),
    ]
    paid = float(balance(venue, START + 2).cash - before)
    notional = 27 * SPOT * 0.8 + 300 * ETH * 0.9
    assert paid == pytest.approx(notional * (1 - 0.005), abs=1e-4)


def test_an_option_that_runs_out_is_settled() -> None:
    market = Market(option_task(), ASSETS[:1], OPTION_LEGS)
    venue, memory = Paper(market, VENUE), market.filters[0].initial(1)
    venue.listed("BTC-CALL", Listing(SPOT, START + HOUR))
    venue.show(quote(START), memory)
    assert isinstance(buying(venue, "BTC-CALL", "2")[-1], Filled)
    for later, spot, worth in ((HOUR, 20_500.0, 500), (HOUR, 20_500.0, None)):
        tick = quote(START + later, spot)
        venue.show(tick, memory)
        told = venue.moved(tick, standing({"BTC": tick}))
        assert told == (() if worth is None else (Deleveraged(tick.time, "BTC-CALL", D(-2), D(worth), "expired"),))
    assert isinstance(buying(venue, "BTC-CALL", "1", START + HOUR)[-1], Rejected)
