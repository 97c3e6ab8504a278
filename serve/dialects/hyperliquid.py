"""Hyperliquid: perpetuals by signed actions of a wallet, without a builder's fee and without a referrer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Literal

from envs.types import BadInput
from serve.dialects import Delivery, Dialect, Heard, Money, Payment, Raw, Reading, Rights, Step, per_year
from serve.venues import wire

PAGE, BLOCKS = 2_000, 500  # fills in an answer, and payments
WHOLE = ("unifiedAccount", "portfolioMargin")  # accounts whose money is not where perpetuals' accounts have it


class _Plain:
    """ccxt approves a fee for its builder and sets its referrer before the first order, and there is no option that
    stops the one without adding the builder to each order: so the method that does both does nothing.

    Numbers of actions are a wallet's, not an instance's.
    """

    last: ClassVar[int] = 0

    async def initialize_client(self) -> bool:
        return True

    def incrementing_nonce(self) -> int:
        _Plain.last = max(int(self.milliseconds()), _Plain.last + 1)  # type: ignore[attr-defined]
        return _Plain.last


class Hyperliquid(Dialect):
    """`walletAddress`: the account's; `privateKey`: of a wallet that may trade for it, and cannot withdraw.

    Its dead man's switch is refused to accounts that have traded less than a million dollars.
    """

    ccxt_name: ClassVar[str] = "hyperliquid"
    credentials: ClassVar[tuple[str, ...]] = ("walletAddress", "privateKey")
    options: ClassVar[Mapping[str, Any]] = {
        "builderFee": False,
        "approvedBuilderFee": False,
        "refSet": True,
        "enableUnifiedMargin": False,
        "fetchMarkets": {"types": ["swap"]},
    }

    @property
    def watching(self) -> tuple[str, ...]:
        return ("walletAddress",)

    def urls(self, address: str) -> dict[str, Any]:
        return {
            "public": address,
            "private": address,
            "ws": {"public": address.replace("http", "ws", 1) + "/ws/hyperliquid"},
        }

    def made(self, settings: Mapping[str, Any], heard: Heard | None = None) -> Any:
        return wire.made(self.ccxt_name, {**settings, "options": dict(self.options)}, heard, _Plain)

    def spelled(self, name: str, instance: str, number: str) -> str:
        """Sixteen bytes: eight digits each for the name and for the database, and the number as it is read."""
        return f"{self.prefix(name)}{instance:0>8}{number:0>16}"

    def prefix(self, name: str) -> str:
        return f"0x{hashlib.sha256(name.encode()).hexdigest()[:8]}"

    def named(self, raw: Raw) -> str:
        return str(raw.get("clientOrderId") or raw["info"].get("cloid") or "")

    async def trades(self, x: Any, symbols: Sequence[str], since: int) -> list[Raw]:
        """Of all coins at once, page by page, from the oldest."""
        found: dict[tuple[str, str], Raw] = {}
        while True:
            page = await x.fetch_my_trades(None, since)
            found |= {(raw["id"], raw["order"]): raw for raw in page}
            if len(page) < PAGE:
                break
            since = max(since + 1, int(page[-1]["timestamp"]))
        return [raw for raw in found.values() if raw["symbol"] in symbols]

    def taken_over(self, raw: Raw) -> Literal["", "liquidated", "deleveraged"]:
        info = raw["info"]
        if info.get("liquidation"):
            return "liquidated"
        return "deleveraged" if info.get("dir") == "Auto-Deleveraging" else ""

    async def money(self, x: Any, symbols: Sequence[str]) -> Money:
        """All in one reply, with what is left when every contract has been paid for."""
        reply = await x.publicPostInfo({"type": "clearinghouseState", "user": x.walletAddress})
        whole = reply["marginSummary"]
        cash, equity = Decimal(whole["totalRawUsd"]), Decimal(whole["accountValue"])
        return Money(cash, equity, Decimal(reply["crossMaintenanceMarginUsed"]))

    async def payments(self, x: Any, symbols: Sequence[str], since: int) -> list[Payment | Delivery]:
        """Page by page, from the oldest. Every payment bears the same hash: it is known by its time and coin."""
        names = {x.market(symbol)["baseName"]: symbol for symbol in symbols}
        found: dict[str, Payment | Delivery] = {}
        while True:
            page = await x.publicPostInfo({"type": "userFunding", "user": x.walletAddress, "startTime": since})
            for row in page:
                time, told = int(row["time"]), row["delta"]
                name = f"{time}{told['coin']}"
                if told["coin"] in names:
                    found[name] = Payment(name, names[told["coin"]], Decimal(told["usdc"]), time)
            if len(page) < BLOCKS:
                return list(found.values())
            since = max(since + 1, int(page[-1]["time"]))

    async def mark(self, x: Any, symbol: str) -> Decimal:
        return Decimal((await x.fetch_ticker(symbol))["info"]["markPx"])

    async def owner(self, x: Any) -> str:
        return str(x.walletAddress).lower()

    async def rights(self, x: Any) -> Rights:
        """By what the exchange knows the key's own address as. Raises BadInput for an account of another kind."""
        kind = await x.publicPostInfo({"type": "userAbstraction", "user": x.walletAddress})
        if kind in WHOLE:
            raise BadInput(f"the Hyperliquid account is of the kind {kind}; serve one whose perpetuals have their own")
        signer = x.eth_get_address_from_private_key(x.privateKey)
        reply = await x.publicPostInfo({"type": "userRole", "user": signer})
        if reply["role"] == "agent":
            return Rights(str(reply["data"]["user"]).lower() == x.walletAddress.lower(), withdraw=False)
        return Rights(str(signer).lower() == x.walletAddress.lower(), withdraw=reply["role"] == "user")

    async def ticker(self, x: Any, symbol: str) -> Raw:
        """Prices bear no time: they are of the block of the last book."""
        told = dict(await x.watch_ticker(symbol))
        book = x.orderbooks.get(symbol) or await x.watch_order_book(symbol)
        return {**told, "timestamp": book["timestamp"]}

    def reading(self, ticker: Raw) -> Reading:
        told = ticker["info"]
        rate = per_year(float(told["funding"]), hours=1)
        return Reading(int(ticker["timestamp"]), float(told["oraclePx"]), float(told["markPx"]), rate)

    def step(self, x: Any, message: Raw) -> Step | None:
        """A book comes whole each time."""
        if message.get("channel") != "l2Book":
            return None
        told = message["data"]
        return Step(x.safe_market(x.coin_to_market_id(told["coin"]))["symbol"], None, int(told["time"]))

    def fault(self, message: Raw) -> str:
        return str(message.get("data")) if message.get("channel") == "error" else ""
