"""Binance's USD-M futures: perpetuals in base units, trades without a name, a dead man's switch for each symbol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Literal

from envs.types import BadInput
from serve.dialects import (
    FUNDING_HOURS,
    Delivery,
    Dialect,
    Heard,
    Money,
    Payment,
    Raw,
    Reading,
    Rights,
    Step,
    per_year,
)
from serve.venues import wire

PAGE, WEEK = 1000, 7 * 86_400_000
KEPT = 26 * WEEK  # that the exchange can be asked for fills of
DUPLICATE = "-4116"
UNBURNT = "turn paying futures' fees in BNB off"
_FORCED: Mapping[str, Literal["liquidated", "deleveraged"]] = {
    "autoclose": "liquidated",
    "adl_autoclose": "deleveraged",
}


class _Linear:
    """To ccxt an address that is not Binance's own has no table of errors: this one's is always that of futures."""

    exceptions: dict[str, Any]

    def get_exceptions_by_url(self, url: str, exactOrBroad: str) -> Any:
        return self.exceptions["linear"].get(exactOrBroad, {})


class BinanceUsdm(Dialect):
    """For an account in one-way mode."""

    ccxt_name: ClassVar[str] = "binanceusdm"
    options: ClassVar[Mapping[str, Any]] = {
        "fetchCurrencies": False,  # at another host
        "fetchMargins": False,
        "warnOnFetchOpenOrdersWithoutSymbol": False,
        "watchPositions": {"fetchPositionsSnapshot": False, "awaitPositionsSnapshot": False},
    }

    def urls(self, address: str) -> dict[str, Any]:
        """Each of them, those also that are never to be called."""
        streams = address.replace("http", "ws", 1) + "/ws"
        described: Raw = wire.made(self.ccxt_name, {}).urls["api"]
        names = {name: f"{address}/sapi/v1" if name == "sapi" else address for name in described if name != "ws"}
        for version in (1, 2, 3):
            suffix = f"V{version}" if version > 1 else ""
            names |= {f"{own}{suffix}": f"{address}/fapi/v{version}" for own in ("fapiPublic", "fapiPrivate")}
        sockets = dict.fromkeys(described["ws"], streams) | {
            "ws-api": dict.fromkeys(described["ws"]["ws-api"], streams)
        }
        return {**names, "ws": sockets}

    def made(self, settings: Mapping[str, Any], heard: Heard | None = None) -> Any:
        """A client id that rests already means that the first order arrived; to ccxt it is an invalid order."""
        used = {"exceptions": {"linear": {"exact": {DUPLICATE: wire.DuplicateOrderId}}}}
        return wire.made(self.ccxt_name, {**settings, **used, "options": dict(self.options)}, heard, _Linear)

    def named(self, raw: Raw) -> str:
        """A fill that was fetched bears none."""
        return str(raw["info"].get("clientOrderId") or raw["info"].get("c") or "")

    async def trades(self, x: Any, symbols: Sequence[str], since: int) -> list[Raw]:
        """Week by week; what the exchange did itself is known by its orders."""
        now = await self.time(x)
        forced = {str(row["orderId"]): row for row in await x.fapiPrivateGetForceOrders({"limit": 100})}
        found: dict[tuple[str, str], Raw] = {}
        for symbol in symbols:
            for raw in await self._fills(x, symbol, max(since, now - KEPT), now):
                name = forced.get(str(raw["order"]), {}).get("clientOrderId", "")
                found[symbol, raw["id"]] = {**raw, "info": {**raw["info"], "clientOrderId": name}}
        return sorted(found.values(), key=lambda raw: (raw["timestamp"], int(raw["id"])))

    def taken_over(self, raw: Raw) -> Literal["", "liquidated", "deleveraged"]:
        """By what the exchange called its own order: `autoclose-` and a number, or `adl_autoclose`."""
        return _FORCED.get(self.named(raw).partition("-")[0], "")

    async def money(self, x: Any, symbols: Sequence[str]) -> Money:
        """Of the assets that the instruments settle in, all in one reply."""
        reply, settled = await x.fapiPrivateV3GetAccount({}), {x.market(symbol)["settleId"] for symbol in symbols}
        own = [row for row in reply["assets"] if row["asset"] in settled]
        held = [
            row
            for row in reply["positions"]
            if x.safe_market(row["symbol"], None, None, "contract")["settleId"] in settled
        ]
        bought = _sum(held, "notional") - _sum(held, "unrealizedProfit")
        return Money(_sum(own, "walletBalance") - bought, _sum(own, "marginBalance"), _sum(own, "maintMargin"))

    def fee(self, raw: Raw) -> Decimal:
        """`commission` of a fill that was fetched, `n` of one that was heard, which is left out where nothing is due.

        Raises BadInput for one that was charged in another asset.
        """
        info, settled = raw["info"], raw["symbol"].rpartition(":")[2]
        paid, asset = (
            Decimal(info.get("n") or info.get("commission") or 0),
            info.get("N") or info.get("commissionAsset"),
        )
        if paid != 0 and asset != settled:
            raise BadInput(f"{raw['symbol']}: a fee of {paid} {asset} was not charged in {settled}; {UNBURNT}")
        return paid

    async def payments(self, x: Any, symbols: Sequence[str], since: int) -> list[Payment | Delivery]:
        found: dict[tuple[str, str], Raw] = {}
        for symbol in symbols:
            start = since
            while True:
                page = await x.fetch_funding_history(symbol, start, PAGE)
                found |= {(symbol, raw["id"]): raw for raw in page}
                if len(page) < PAGE:
                    break
                start = max(start + 1, page[-1]["timestamp"])
        rows = sorted(found.values(), key=lambda raw: int(raw["timestamp"]))
        return [Payment(str(r["id"]), r["symbol"], Decimal(r["info"]["income"]), int(r["timestamp"])) for r in rows]

    async def rights(self, x: Any) -> Rights:
        """Raises BadInput for an account that holds longs and shorts apart, whose fees are not cash of ours, or whose
        margin is of all its currencies together.
        """
        mode, reply = await x.fapiPrivateGetPositionSideDual({}), await x.sapiGetAccountApiRestrictions({})
        if mode["dualSidePosition"]:
            raise BadInput("the Binance account holds long and short positions apart; set it to one-way mode")
        if (await x.fapiPrivateGetFeeBurn({}))["feeBurn"]:
            raise BadInput(f"the Binance account pays fees in BNB, which our ledger has none of; {UNBURNT}")
        if (await x.fapiPrivateGetMultiAssetsMargin({}))["multiAssetsMargin"]:
            raise BadInput("the Binance account has one margin for all its assets; set it to single-asset mode")
        return Rights(bool(reply["enableFutures"]), bool(reply["enableWithdrawals"]))

    async def renew(self, x: Any, symbols: Sequence[str], seconds: float) -> None:
        for symbol in symbols:
            wait = {"symbol": x.market(symbol)["id"], "countdownTime": round(1000 * seconds)}
            await x.fapiPrivatePostCountdownCancelAll(wait)

    async def band(self, x: Any, symbol: str) -> tuple[Decimal, Decimal] | None:
        """Shares of the mark."""
        limits = next(each for each in x.market(symbol)["info"]["filters"] if each["filterType"] == "PERCENT_PRICE")
        mark = Decimal((await x.fapiPublicGetPremiumIndex({"symbol": x.market(symbol)["id"]}))["markPrice"])
        return mark * Decimal(limits["multiplierDown"]), mark * Decimal(limits["multiplierUp"])

    async def ticker(self, x: Any, symbol: str) -> Raw:
        """Of the marks' stream, which tells all three; how long a funding period is, is asked once."""
        if "intervals" not in x.options:
            rows = await x.fapiPublicGetFundingInfo({})
            x.options["intervals"] = {row["symbol"]: float(row["fundingIntervalHours"]) for row in rows}
        hours = x.options["intervals"].get(x.market(symbol)["id"], FUNDING_HOURS)
        return {**await x.watch_mark_price(symbol), "hours": hours}

    def reading(self, ticker: Raw) -> Reading:
        told = ticker["info"]
        return Reading(int(told["E"]), float(told["i"]), float(told["p"]), per_year(float(told["r"]), ticker["hours"]))

    def step(self, x: Any, message: Raw) -> Step | None:
        """A book begins with a snapshot by request, which the first change overlaps or follows."""
        if message.get("e") != "depthUpdate":
            return None
        symbol = x.safe_symbol(message["s"], None, None, "contract")
        shown = x.orderbooks[symbol]["nonce"] if symbol in x.orderbooks else None
        fits = shown is None or int(message["U"]) <= shown or int(message["pu"]) == shown
        return Step(symbol, None if fits else int(message["pu"]), int(message["u"]))

    def fault(self, message: Raw) -> str:
        error = message.get("error")
        return "" if error is None else f"{error.get('code')} {error.get('msg')}"

    async def _fills(self, x: Any, symbol: str, since: int, until: int) -> list[Raw]:
        found: list[Raw] = []
        while since <= until:
            page = await x.fetch_my_trades(symbol, since, PAGE, {"until": min(since + WEEK, until + 1)})
            found += page
            since = max(since + 1, page[-1]["timestamp"]) if len(page) == PAGE else since + WEEK
        return found


def _sum(rows: Sequence[Raw], name: str) -> Decimal:
    return sum((Decimal(row[name]) for row in rows), Decimal(0))
