"""What an exchange holds against maintenance, where collateral is in more than one currency."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from envs.types import BadInput
from serve.dialects import Money
from serve.rehearsal.protocols import _binance_calls, _deribit_private, _okx_private
from serve.rehearsal.types import Move, Place, Transfer
from tests.serve.dialects.house import CALL, PERPETUAL, START, TRADED, House, house

PERP, OTHER = "BTC/USDC:USDC", "BTC/USDT:USDT"
OPTIONS = {"deribit": "BTC/USDC:USDC-250328-90000-C", "okx": "BTC/USD:USDC-250328-90000-C"}
TETHERED = replace(PERPETUAL, name="BTC-PERP-USDT", quote="USDT", settle="USDT")
HAIRCUTS = (("BTC", Decimal("0.1")),)
Case = Callable[[House, Any], Awaitable[None]]


def played(name: str, case: Case, tmp_path: Path) -> None:
    async def play() -> None:
        async with house(name, tmp_path, CALL, TETHERED, haircuts=HAIRCUTS) as own:
            x = own.client()
            await x.load_markets()
            await case(own, x)

    asyncio.run(asyncio.wait_for(play(), 30))


async def bought(own: House, instrument: str, units: int, price: int) -> None:
    await own.apply(Place(START, TRADED, "", instrument, Decimal(units), Decimal(price), "ioc"))


async def endowed(own: House) -> None:
    """With coin and with another dollar."""
    await own.apply(Move(START, "USDT", Decimal(1)))
    await own.apply(Transfer(START, TRADED, "BTC", Decimal(2)), Transfer(START, TRADED, "USDT", Decimal(5_000)))


@pytest.mark.parametrize("name", OPTIONS)
def test_what_counts_for_all_currencies_counts_once(name: str, tmp_path: Path) -> None:
    """An option's premium has left the cash, and what it is worth is not margin."""

    async def case(own: House, x: Any) -> None:
        poor = await own.dialect.money(x, [PERP, OTHER, OPTIONS[name]])
        await endowed(own)
        rich = await own.dialect.money(x, [PERP, OTHER, OPTIONS[name]])
        assert rich.cash - poor.cash == 5_000, "coin is no cash of ours"
        await bought(own, PERPETUAL.name, 20, 85_000)
        await bought(own, CALL.name, 1, 5_000)
        money, state = await own.dialect.money(x, [PERP, OTHER, OPTIONS[name]]), own.floor.exchange.account(TRADED)
        spent = sum((fill.units * fill.price + fill.fee for fill in own.floor.exchange.fills(TRADED)), Decimal(0))
        assert abs(money.cash - (rich.cash - spent)) < Decimal("0.01")
        assert abs(money.maintenance - state.maintenance_margin) < Decimal("0.01")
        assert abs(money.equity - state.margin_balance) < Decimal("0.01")
        assert state.equity - state.margin_balance > 17_000, "a tenth of the coin, and the option"
        counted = {"deribit": Decimal(2), "okx": Decimal("1.8")}[name]  # Deribit does not tell the haircut
        assert {coin: round(amount, 9) for coin, amount in money.coins.items() if coin == "BTC"} == {"BTC": counted}

    played(name, case, tmp_path)


def line(currency: str, cross: bool, **terms: float) -> dict[str, Any]:
    model = {"margin_model": "cross_pm" if cross else "segregated_pm", "portfolio_margining_enabled": True}
    return {"currency": currency, "cross_collateral_enabled": cross, **model, **terms}


@pytest.mark.parametrize(("cross", "equity", "maintenance", "coins"), [(False, 50, 7, {}), (True, 90, 9, {"BTC": 1})])
def test_portfolio_margin_at_deribit(
    cross: bool, equity: int, maintenance: int, coins: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segregated, each currency has its own; with cross collateral each line tells those of all, in its currency."""
    margins = ((90, 9), (90, 9)) if cross else ((30, 3), (20, 4))
    lines = [
        line(name, cross, equity=30, margin_balance=balance, maintenance_margin=needs)
        for name, (balance, needs) in zip(("USDC", "USDT"), margins, strict=True)
    ]
    lines.append(line("BTC", cross, equity=1, margin_balance=0.001, maintenance_margin=0.0001))
    monkeypatch.setitem(_deribit_private.METHODS, "private/get_account_summaries", lambda call: {"summaries": lines})

    async def case(own: House, x: Any) -> None:
        money = await own.dialect.money(x, [PERP, OTHER])
        assert money == Money(
            Decimal(60), Decimal(equity), Decimal(maintenance), {k: Decimal(v) for k, v in coins.items()}
        )

    played("deribit", case, tmp_path)


def test_futures_mode_at_okx_has_a_margin_for_each_currency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = _okx_private.PRIVATE["GET", "account/balance"]

    def told(asked: Any) -> list[Any]:
        account = plain(asked)[0]
        details = [{**each, "mmr": "500" if each["ccy"] == "USDC" else "7"} for each in account["details"]]
        return [{**account, "adjEq": "", "mmr": "", "imr": "", "mgnRatio": "", "details": details}]

    monkeypatch.setitem(_okx_private.PRIVATE, ("GET", "account/balance"), told)  # type: ignore[misc]

    async def case(own: House, x: Any) -> None:
        await endowed(own)
        money = await own.dialect.money(x, [PERP])
        assert (money.equity, money.maintenance, dict(money.coins)) == (Decimal(200_000), Decimal(500), {})

    played("okx", case, tmp_path)


def test_one_margin_for_all_assets_is_refused_at_binance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mode = ("GET", "v1/multiAssetsMargin")
    monkeypatch.setitem(_binance_calls.PRIVATE, mode, lambda asked: {"multiAssetsMargin": True})  # type: ignore[misc]

    async def case(own: House, x: Any) -> None:
        with pytest.raises(BadInput, match="set it to single-asset mode"):
            await own.dialect.rights(x)

    played("binance_usdm", case, tmp_path)
