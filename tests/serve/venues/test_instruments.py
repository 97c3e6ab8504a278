"""Which instruments may be traded and quoted by, and that a contract is as large as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from envs.types import BadInput
from serve import dialects
from serve.clock import SECOND
from serve.dialects import Dialect
from serve.dialects.deribit import Deribit
from serve.errors import StartRefused
from serve.events import Started
from serve.market import Market
from serve.venues.checking import checked
from serve.venues.connection import Connection
from serve.venues.instruments import Instruments
from serve.venues.lanes import Lanes
from tests.serve.dialects import house
from tests.serve.dialects.house import PERPETUAL, START
from tests.serve.support import ASSETS, LEGS, task
from tests.serve.venues.desk import LEG, PERP, settings
from tests.serve.venues.test_opening import apart, served

OKX: Mapping[str, Any] = {"name": "okx", "dead_man_seconds": 60}
SPOT, DATED, COIN = "BTC/USDC", "BTC/USDC:USDC-250328", "BTC/USD:BTC"
KINDS: Mapping[str, Mapping[str, Any]] = {
    SPOT: {"spot": True, "swap": False, "linear": None, "contract": False},
    DATED: {"future": True, "swap": False, "expiry": START + 10**9},
    COIN: {"inverse": True, "linear": False, "settle": "BTC", "quote": "USD"},
}


class Linear(Deribit):
    kinds = Dialect.kinds


@contextmanager
def listing(tmp_path: Path, symbol: str) -> Iterator[Connection]:
    """An exchange that lists one more, told as ccxt tells them."""
    with apart(tmp_path) as own:
        lanes, line = Lanes(), Connection.of(settings(own.address))
        lanes.ask(checked(line))
        line.markets = {**line.markets, symbol: {**line.markets[PERP], "symbol": symbol, **KINDS[symbol]}}
        yield line
        lanes.close()


NOTHING_ELSE = f"is no perpetual, and live nothing else is traded beside options; have {PERP}$"


@pytest.mark.parametrize("symbol", [SPOT, DATED])
def test_where_spot_and_futures_are_traded_they_quote_no_asset(tmp_path: Path, symbol: str) -> None:
    with listing(tmp_path, symbol) as line:
        market = Market(task(), ASSETS, LEGS)
        found = Instruments.of(replace(line, settings=settings("http://127.0.0.1:9", symbols={LEG: symbol})), market)
        assert found.others == (symbol,)
        with pytest.raises(BadInput, match=NOTHING_ELSE):
            Instruments.of(replace(line, settings=settings("http://127.0.0.1:9", quotes={"BTC": symbol})), market)


@pytest.mark.parametrize(
    ("symbol", "words"),
    [
        (SPOT, f"{SPOT} {NOTHING_ELSE}"),
        (DATED, f"{DATED} {NOTHING_ELSE}"),
        (COIN, f"^{COIN} is settled in coin; choose one that is settled in USDC$"),
    ],
)
def test_only_perpetuals_that_settle_in_their_quote_are_traded_or_quote(
    tmp_path: Path, symbol: str, words: str
) -> None:
    """As every dialect has it that does not say otherwise."""
    with listing(tmp_path, symbol) as line:
        line.dialect = Linear()
        market = Market(task(), ASSETS, LEGS)
        for changes in ({"symbols": {LEG: symbol}}, {"quotes": {"BTC": symbol}}):
            with pytest.raises(BadInput, match=words):
                Instruments.of(replace(line, settings=settings("http://127.0.0.1:9", **changes)), market)
        Instruments.of(line, market)


@pytest.mark.parametrize("name", dialects.names())
def test_a_contract_that_settles_in_coin_has_no_unit(name: str) -> None:
    dialect, market = dialects.load(name), {"symbol": COIN, "quote": "USD", "contractSize": 1, "info": {}}
    assert dialect.unit({**market, "inverse": False}) == 1
    with pytest.raises(BadInput, match="settled in coin"):
        dialect.unit({**market, "inverse": True})


@pytest.mark.slow
def test_a_journal_is_not_served_on_with_contracts_of_another_size(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OKX's ctVal, which turns amounts into base units, changes between two sessions of one journal."""
    with apart(tmp_path, "okx") as own:
        own.server._span = (START, START + 60 * SECOND)
        items = served(tmp_path, own, model, OKX)
        begun = [json.loads(item.venue) for item in items if isinstance(item, Started)]
        assert [each["contracts"] for each in begun] == [{PERP: "0.01"}]
    monkeypatch.setattr(house, "PERPETUAL", replace(PERPETUAL, contract_size=Decimal("0.1")))
    with apart(tmp_path, "okx") as own:
        with pytest.raises(
            StartRefused, match=r"okx: a contract of BTC/USDC:USDC was 0\.01 when .* and is 0\.1; "
        ) as no:
            served(tmp_path, own, model, OKX)
        assert "\n" not in str(no.value)
        assert not any("trade/" in request.path for request in own.overheard.requests), "nothing was sent"
