"""An option as a hedging leg at an exchange: listed, traded, and told of with its contract."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from serve.clock import VirtualClock
from serve.commands import Ask, SubmitOrder
from serve.errors import StartRefused
from serve.events import Acknowledged, Event, Filled, PositionsReport
from serve.market import Listing, Market
from serve.venues.exchange import Exchange
from serve.venues.lanes import Lanes
from serve.venues.opening import part
from tests.serve.books import OPTION_LEGS, option_task
from tests.serve.dialects.house import CALL, EXPIRY, START, TRADED, House
from tests.serve.support import ASSETS
from tests.serve.venues.desk import INSTANCE, LEG, PERP, SESSION, settings
from tests.serve.venues.test_opening import apart

BOUGHT, OPTION = "BTC-CALL", "BTC/USDC:USDC-250328-90000-C"
LISTED = {BOUGHT: Listing(90_000.0, EXPIRY)}


def opened(
    own: House, listed: dict[str, Listing], before: dict[str, str], lanes: Lanes
) -> tuple[Exchange, dict[str, str]]:
    market = Market(option_task(), ASSETS, OPTION_LEGS)
    terms = settings(own.address), market, (SESSION, INSTANCE), {"contracts": before}, listed
    return part(*terms, lanes, VirtualClock(START))


def told(exchange: Exchange) -> list[Event]:
    exchange.settle()
    return exchange.passed(START)


def test_an_option_leg_is_listed_traded_and_reconciled(tmp_path: Path) -> None:
    with apart(tmp_path, "deribit") as own:
        exchange, contracts = opened(own, LISTED, {}, Lanes())
        assert contracts == {PERP: "1", OPTION: "1"}
        exchange.begin([], {})
        order = SubmitOrder(START, "desk-000001", BOUGHT, Decimal("0.20"), Decimal(5_000), START + 30_000, False)
        exchange.submit(order)
        events = told(exchange)
        exchange.report(Ask(START, "positions"))
        events += told(exchange)
        exchange.close()
        (fill,) = own.floor.exchange.fills(TRADED)
        filled = [event for event in events if isinstance(event, Filled)]
        assert [(each.order, each.units, each.price, each.fee) for each in filled] == [
            (order.order, fill.units, fill.price, fill.fee)
        ]
        assert fill.instrument == CALL.name
        assert any(isinstance(event, Acknowledged) for event in events)
        (report,) = [event for event in events if isinstance(event, PositionsReport)]
        assert dict(report.positions) == {LEG: Decimal(0), BOUGHT: Decimal("0.2")}


def test_an_option_s_contract_may_not_change_under_its_leg(tmp_path: Path) -> None:
    """One that is not listed trades nothing, and has none."""
    with apart(tmp_path, "deribit") as own:
        elsewhere, contracts = opened(own, {BOUGHT: Listing(91_000.0, EXPIRY)}, {OPTION: "0.01"}, Lanes())
        elsewhere.close()
        assert contracts == {PERP: "1"}
        lanes = Lanes()
        with pytest.raises(StartRefused, match=f"a contract of {OPTION} was 0.01"):
            opened(own, LISTED, {OPTION: "0.01"}, lanes)
        lanes.close()
