"""OKX: contracts of a size of their own, ids of letters and digits alone, a dead man's switch of 10 to 120 seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar, Literal

from envs.types import BadInput
from serve.dialects import Delivery, Dialect, Heard, Money, Payment, Raw, Reading, Rights, Step, per_year
from serve.venues import wire

PAGE = 100
_LIQUIDATED = ("full_liquidation", "partial_liquidation", *map(str, range(100, 108)))  # categories, and kinds of bill
_DELEVERAGED = ("adl", *map(str, range(125, 129)))


class Okx(Dialect):
    """For an account in net mode. Options are listed against USD whatever they are settled in; those settled in coin
    are refused, as everywhere.
    """

    ccxt_name: ClassVar[str] = "okx"
    credentials: ClassVar[tuple[str, ...]] = ("apiKey", "secret", "password")
    options: ClassVar[Mapping[str, Any]] = {"defaultType": "swap"}

    def urls(self, address: str) -> dict[str, Any]:
        return {"rest": address, "ws": address.replace("http", "ws", 1) + "/ws/v5"}

    def made(self, settings: Mapping[str, Any], heard: Heard | None = None) -> Any:
        """A client id that was used before means that the first order arrived; to ccxt it is an invalid order."""
        used = {"exceptions": {"exact": dict.fromkeys(("51011", "51016"), wire.DuplicateOrderId)}}
        return super().made({**settings, **used}, heard)

    def spelled(self, name: str, instance: str, number: str) -> str:
        """Names are lower case, which leaves capitals for what stands between."""
        return self.prefix(name) + instance + number

    def prefix(self, name: str) -> str:
        return name.replace("-", "X") + "Z"

    def named(self, raw: Raw) -> str:
        return str(raw["info"].get("clOrdId") or "")

    def size(self, market: Raw) -> Decimal:
        """Of an option ccxt's contract size leaves out the multiplier, which is 0.01 of BTC's."""
        return super().size(market) * Decimal(market["info"].get("ctMult") or 1)

    async def resting(self, x: Any, symbols: Sequence[str]) -> list[Raw]:
        return await _pages(lambda older: x.fetch_open_orders(None, None, PAGE, older), lambda raw: raw["id"])

    async def trades(self, x: Any, symbols: Sequence[str], since: int) -> list[Raw]:
        found = [raw for symbol in symbols for raw in await self._fills(x, symbol, since)]
        return sorted(found, key=lambda raw: (raw["timestamp"], int(raw["info"]["billId"])))

    def taken_over(self, raw: Raw) -> Literal["", "liquidated", "deleveraged"]:
        kinds = (raw["info"].get("category"), raw["info"].get("subType"))
        if any(kind in _LIQUIDATED for kind in kinds):
            return "liquidated"
        return "deleveraged" if any(kind in _DELEVERAGED for kind in kinds) else ""

    async def money(self, x: Any, symbols: Sequence[str]) -> Money:
        """Balance and positions are two replies: asked for until no position changed in between.

        Premiums have left the cash balance; what perpetuals cost has not. Each currency has its own margin in futures
        mode; in the others there is one of all, in USD.
        """
        held = await self._held(x)
        while True:
            reply, before = await x.privateGetAccountBalance({}), held
            held = await self._held(x)
            if held == before:
                return self._counted(x, reply["data"][0], held, {x.market(symbol)["settleId"] for symbol in symbols})

    def fee(self, raw: Raw) -> Decimal:
        """What is charged is negative at OKX; ccxt turns the sign of what it fetched, not of what it heard."""
        info = raw["info"]
        return -Decimal(info["fillFee"] if "fillFee" in info else info["fee"])

    async def payments(self, x: Any, symbols: Sequence[str], since: int) -> list[Payment | Delivery]:
        names = {x.market(symbol)["id"]: symbol for symbol in symbols}
        options = any(x.market(symbol)["option"] for symbol in symbols)
        funded = await self._bills(x, since, type="8", instType="SWAP")
        expired = await self._bills(x, since, type="3", instType="OPTION") if options else []
        found: list[Payment | Delivery] = [_paid(row, names[row["instId"]]) for row in funded if row["instId"] in names]
        found += [await self._delivered(x, names[row["instId"]], row) for row in expired if row["instId"] in names]
        return sorted(found, key=lambda each: each.time)

    async def owner(self, x: Any) -> str:
        return str((await x.privateGetAccountConfig({}))["data"][0]["uid"])

    async def rights(self, x: Any) -> Rights:
        """Raises BadInput for an account that holds longs and shorts apart."""
        reply = await x.privateGetAccountConfig({})
        account = reply["data"][0]
        if account["posMode"] != "net_mode":
            raise BadInput("the OKX account holds long and short positions apart; set its position mode to net")
        allowed = account["perm"].split(",")
        return Rights("trade" in allowed, "withdraw" in allowed)

    async def band(self, x: Any, symbol: str) -> tuple[Decimal, Decimal] | None:
        reply = await x.publicGetPublicPriceLimit({"instId": x.market(symbol)["id"]})
        limits = reply["data"][0]
        return (Decimal(limits["sellLmt"]), Decimal(limits["buyLmt"])) if limits["enabled"] else None

    async def ticker(self, x: Any, symbol: str) -> Raw:
        """Mark, index and, of a perpetual, funding are a channel each; funding is told seldom."""
        market = x.market(symbol)
        if market["swap"] and symbol not in x.fundingRates:
            await x.watch_funding_rate(symbol)
        pair = market["info"]["uly"] or market["id"]
        named = f"index-tickers::{x.safe_market(pair, None, '-')['symbol']}"
        indices = x.subscribe("public", named, "index-tickers", None, {"instId": pair})
        mark, index = await asyncio.gather(x.watch_mark_price(symbol), indices)
        (price,) = index.values()
        return {**mark, "indexPrice": price["indexPrice"], "funding": x.fundingRates.get(symbol)}

    def reading(self, ticker: Raw) -> Reading:
        """Funding is told per period, and how long that is."""
        funding, mark = ticker["funding"], float(ticker["info"]["markPx"])
        rate = 0.0
        if funding is not None:
            hours = (int(funding["nextFundingTimestamp"]) - int(funding["fundingTimestamp"])) / 3_600_000
            rate = per_year(float(funding["fundingRate"]), hours)
        return Reading(int(ticker["info"]["ts"]), float(ticker["indexPrice"]), mark, rate)

    def step(self, x: Any, message: Raw) -> Step | None:
        told = message.get("arg") or {}
        if told.get("channel") != "books" or "action" not in message:
            return None
        data = message["data"][0]
        before = None if message["action"] == "snapshot" else int(data["prevSeqId"])
        return Step(x.safe_symbol(told["instId"]), before, int(data["seqId"]))

    def fault(self, message: Raw) -> str:
        return f"{message.get('code')} {message.get('msg')}" if message.get("event") == "error" else ""

    async def surface(self, x: Any, base: str) -> tuple[tuple[int, float, float], ...]:
        reply = await x.publicGetPublicOptSummary({"uly": f"{base}-USD"})
        points: dict[tuple[int, float], float] = {}
        for row in reply["data"]:
            market = x.safe_market(row["instId"], None, "-")
            if float(row["markVol"] or 0) > 0:
                points[int(market["expiry"]), float(market["strike"])] = float(row["markVol"])
        return tuple((*at, volatility) for at, volatility in sorted(points.items()))

    async def _fills(self, x: Any, symbol: str, since: int) -> list[Raw]:
        asked = partial(x.fetch_my_trades, symbol, since, None)
        return await _pages(asked, lambda raw: raw["info"]["billId"])

    async def _bills(self, x: Any, since: int, **kind: str) -> list[Raw]:
        async def asked(older: Mapping[str, str]) -> list[Raw]:
            reply = await x.privateGetAccountBillsArchive({**kind, "begin": str(since), "limit": str(PAGE), **older})
            return list(reply["data"])

        return await _pages(asked, lambda row: row["billId"])

    async def _held(self, x: Any) -> list[tuple[str, Decimal, Decimal]]:
        """Symbol, base units and average price."""
        reply = await x.privateGetAccountPositions({})
        rows = [(row, x.safe_market(row["instId"], None, "-")) for row in reply["data"] if Decimal(row["pos"] or 0)]
        return [(own["symbol"], Decimal(row["pos"]) * self.unit(own), Decimal(row["avgPx"])) for row, own in rows]

    def _counted(self, x: Any, account: Raw, held: Sequence[tuple[str, Decimal, Decimal]], settled: set[str]) -> Money:
        own = [row for row in account["details"] if row["ccy"] in settled]
        bought = sum((units * entry for symbol, units, entry in held if x.market(symbol)["swap"]), Decimal(0))
        cash = _sum(own, "cashBal") - bought
        if not account["adjEq"]:
            return Money(cash, _sum(own, "eq"), _sum(own, "mmr"))
        coins = {row["ccy"]: _counts(row) for row in account["details"] if row not in own}
        return Money(cash, Decimal(account["adjEq"]), Decimal(account["mmr"]), coins)

    async def _delivered(self, x: Any, symbol: str, row: Raw) -> Delivery:
        """The bill does not say of which side it is: what was held is what our fills come to."""
        unit = self.size(x.market(symbol))
        fills = await self._fills(x, symbol, 0)
        held = sum((Decimal(str(f["amount"])) * unit * (1 if f["side"] == "buy" else -1) for f in fills), Decimal(0))
        worth = abs(Decimal(row["pnl"]) / held) if held else Decimal(0)
        return Delivery(str(row["billId"]), symbol, -held, worth, int(row["ts"]))


async def _pages(ask: Callable[[Mapping[str, str]], Awaitable[list[Raw]]], number: Callable[[Raw], str]) -> list[Raw]:
    """All there is, page by page from the newest."""
    found: list[Raw] = []
    older: dict[str, str] = {}
    while len(page := await ask(older)) == PAGE:
        found += page
        older = {"after": min(map(number, page), key=int)}
    return found + list(page)


def _paid(row: Raw, symbol: str) -> Payment:
    return Payment(str(row["billId"]), symbol, Decimal(row["balChg"]), int(row["ts"]))


def _counts(row: Raw) -> Decimal:
    """Of a currency as collateral: after its discount."""
    worth = Decimal(row["eqUsd"] or 0)
    return Decimal(row["eq"]) * Decimal(row["disEq"]) / worth if worth else Decimal(0)


def _sum(rows: Iterable[Raw], name: str) -> Decimal:
    return sum((Decimal(row[name] or 0) for row in rows), Decimal(0))
