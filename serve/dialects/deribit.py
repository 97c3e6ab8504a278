"""Deribit: linear contracts, by JSON-RPC over GET and one websocket."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar, Literal

from envs.types import BadInput
from serve.commands import SubmitOrder
from serve.dialects import Delivery, Dialect, Heard, Money, Payment, Raw, Reading, Rights, Step, _deribit, per_year
from serve.venues import wire

FUNDED = ("trade", "settlement")  # rows of the transaction log that funding is paid with
PAGE, LOGGED = 1000, 250  # the most in an answer: fills, rows of the transaction log
RECENT = 23 * 3_600_000  # fills go to an archive when they are a day old
AHEAD = 60_000  # milliseconds past now that are asked for too, as clocks differ
A_SECOND = 20  # ccxt's cost of a second: the transaction log is to be had once in each


class Deribit(Dialect):
    """Orders bear our id as `label`, which the exchange does not keep unique, and which ccxt leaves unread.

    There is no dead man's switch by time. What is sent by a websocket can be cancelled with it: so that is renewed.
    """

    ccxt_name: ClassVar[str] = "deribit"
    name_key: ClassVar[str] = "label"
    kinds: ClassVar[tuple[str, ...]] = ("swap", "future", "spot")
    tied: ClassVar[bool] = True

    def urls(self, address: str) -> dict[str, Any]:
        return {"rest": address, "ws": address.replace("http", "ws", 1) + "/ws/api/v2"}

    def made(self, settings: Mapping[str, Any], heard: Heard | None = None) -> Any:
        return wire.made(self.ccxt_name, {**settings, "options": dict(self.options)}, heard, _deribit.Deribit)

    def named(self, raw: Raw) -> str:
        return str(raw["info"].get("label") or "")

    def unit(self, market: Raw) -> Decimal:
        if market.get("inverse"):
            raise BadInput(f"{market['symbol']} is settled in coin; choose one that is settled in USDC")
        return self.size(market)

    def size(self, market: Raw) -> Decimal:
        """Amounts are base units already."""
        return Decimal(1)

    def parameters(self, order: SubmitOrder, spelled: str) -> dict[str, Any]:
        """The exchange takes the request no later than the order's expiry; one that rests is cancelled by us then."""
        return {**super().parameters(order, spelled), "valid_until": order.expires_at}

    async def resting(self, x: Any, symbols: Sequence[str]) -> list[Raw]:
        """ccxt's own call lists one currency."""
        reply = await x.privateGetGetOpenOrders({})
        return list(x.parse_orders(reply["result"]))

    async def found(self, x: Any, symbol: str, spelled: str, venue_id: str) -> Raw | None:
        """By label; of more than one order that bears it, the one that is known, else the first."""
        reply = await x.privateGetGetOrderStateByLabel({"currency": _money(x, symbol), "label": spelled})
        orders = sorted(x.parse_orders(reply["result"]), key=lambda raw: (raw["id"] != venue_id, raw["timestamp"]))
        if orders:
            return dict(orders[0])
        ended = await x.fetch_closed_orders(symbol, None, 100)
        return next((dict(raw) for raw in ended if self.named(raw) == spelled), None)

    async def cancel(self, x: Any, symbol: str, spelled: str, venue_id: str) -> None:
        """By label where the exchange's own id is not known: of every order that bears it."""
        if venue_id:
            try:
                await x.cancel_order(venue_id, symbol)
            except wire.InvalidOrder as error:  # 11044: it has ended
                raise wire.OrderNotFound(str(error)) from None
        else:
            await x.privateGetCancelByLabel({"label": spelled, "currency": _money(x, symbol)})

    async def trades(self, x: Any, symbols: Sequence[str], since: int) -> list[Raw]:
        """The recent ones before the archive's, which has none of them: what moves there meanwhile was seen."""
        now, found = await self.time(x), dict[tuple[str, str], Raw]()
        for symbol in symbols:
            for historical in (False, True) if since < now - RECENT else (False,):
                fills = await self._fills(x, symbol, since, now + AHEAD, historical)
                found |= {(symbol, raw["id"]): raw for raw in fills}
        return sorted(found.values(), key=lambda raw: (raw["timestamp"], int(raw["info"]["trade_seq"])))

    def taken_over(self, raw: Raw) -> Literal["", "liquidated", "deleveraged"]:
        """There is no auto-deleveraging; `liquidation` says of which side it was: M, T or MT."""
        side = str(raw["info"].get("liquidation") or "")
        return "liquidated" if side and ("T" if raw["takerOrMaker"] == "taker" else "M") in side else ""

    async def positions(self, x: Any, symbols: Sequence[str]) -> dict[str, Decimal]:
        """Sizes are signed; those of coin-settled futures are in USD, and are told as they are. Of a spot among
        `symbols`, what the account has of its base.
        """
        found = dict.fromkeys(symbols, Decimal(0)) | await self.held(x)
        bases = {symbol: x.market(symbol)["baseId"] for symbol in symbols if x.market(symbol)["spot"]}
        if bases:
            owned = {row["currency"]: _number(row, "balance") for row in await self._summaries(x)}
            found |= {symbol: owned.get(base, Decimal(0)) for symbol, base in bases.items()}
        return found

    async def held(self, x: Any) -> dict[str, Decimal]:
        return {x.safe_symbol(row["instrument_name"]): _number(row, "size") for row in await self._positions(x)}

    async def mark(self, x: Any, symbol: str) -> Decimal:
        return _number((await x.fetch_ticker(symbol))["info"], "mark_price")

    def ended(self, markets: Mapping[str, Raw], symbol: str) -> Raw | None:
        """As its perpetual's, but for its name and its end, which is at eight in the morning."""
        pair, _, day = symbol.partition("-")
        try:
            expiry = datetime.strptime(day, "%y%m%d").replace(hour=8, tzinfo=UTC)
        except ValueError:
            return None
        if pair not in markets:
            return None
        name = f"{expiry.day}{expiry:%b%y}".upper()
        dated = {"id": markets[pair]["id"].replace("PERPETUAL", name), "symbol": symbol, "type": "future"}
        return {**markets[pair], **dated, "swap": False, "future": True, "expiry": round(expiry.timestamp() * 1000)}

    def expired(self, x: Any, symbol: str) -> Raw:
        """Whose first nine days of a month ccxt spells with a nought."""
        market = super().expired(x, symbol)
        return {**market, "id": re.sub(r"-0(\d[A-Z])", r"-\1", market["id"])}

    async def owner(self, x: Any) -> str:
        told = (await x.privateGetGetAccountSummaries({"extended": "true"}))["result"]
        return str(told.get("id") or told["username"])

    async def money(self, x: Any, symbols: Sequence[str]) -> Money:
        """Of the currency that the instruments settle in. Futures count at what they were last marked to the account
        at, options at their premium's worth of now. With cross collateral each currency's margins are those of all
        currencies together, counted in it. Its haircuts are not told: coins count whole.
        """
        currencies = {_money(x, symbol) for symbol in symbols}
        rows, summaries = await self._positions(x), await self._summaries(x)
        own = [row for row in summaries if row["currency"] in currencies]
        cross = any(row.get("cross_collateral_enabled") for row in own)
        margins = own[:1] if cross else own
        open_profit = _sum(own, "futures_session_upl") + _sum(own, "options_value")
        bought = sum((_cost(row) for row in rows if row["kind"] == "future" and _linear(x, row)), Decimal(0))
        return Money(
            _sum(own, "equity") - open_profit - bought,
            _sum(margins, "margin_balance"),
            _sum(margins, "maintenance_margin"),
            {row["currency"]: _number(row, "equity") for row in summaries if cross and row not in own},
        )

    def fee(self, raw: Raw) -> Decimal:
        """Raises BadInput for one of a spot that is taken from what was bought."""
        paid, currency, quote = super().fee(raw), raw["fee"]["currency"], raw["symbol"].partition("/")[2]
        if paid != 0 and ":" not in quote and currency != quote:
            raise BadInput(f"{raw['symbol']}: a fee of {paid} {currency} is no cash of ours, which is in {quote}")
        return paid

    async def payments(self, x: Any, symbols: Sequence[str], since: int) -> list[Payment | Delivery]:
        names = {x.market(symbol)["id"]: symbol for symbol in symbols}
        span = {"start_timestamp": since, "end_timestamp": await self.time(x) + AHEAD}
        found: list[Payment | Delivery] = []
        for currency in {_money(x, symbol) for symbol in symbols}:
            own = [
                row
                for row in await self._logged(x, {"currency": currency, **span})
                if row.get("instrument_name") in names
            ]
            found += [each for row in own if (each := _paid(row, names[row["instrument_name"]])) is not None]
        return sorted(found, key=lambda each: each.time)

    async def rights(self, x: Any) -> Rights:
        """By the scope of a token that a signature gives, which the secret never leaves us for."""
        reply = await x.publicGetAuth({"grant_type": "client_signature", **_deribit.proof(x)})
        scope = str(reply["result"]["scope"]).split()
        return Rights("trade:read_write" in scope, "wallet:read_write" in scope)

    async def renew(self, x: Any, symbols: Sequence[str], seconds: float) -> None:
        await x.renewed(seconds)

    async def band(self, x: Any, symbol: str) -> tuple[Decimal, Decimal] | None:
        info = (await x.fetch_ticker(symbol))["info"]
        told = "max_price" in info or not x.market(symbol)["spot"]
        return (_number(info, "min_price"), _number(info, "max_price")) if told else None

    def reading(self, ticker: Raw) -> Reading:
        """Perpetuals alone have funding."""
        info: Mapping[str, Any] = ticker["info"]
        index, mark = float(info["index_price"]), float(info["mark_price"])
        funding = float(info["funding_8h"]) if info["instrument_name"].endswith("-PERPETUAL") else 0.0
        return Reading(int(ticker["timestamp"]), index, mark, per_year(funding))

    def step(self, x: Any, message: Raw) -> Step | None:
        terms = message.get("params") or {}
        if not str(terms.get("channel", "")).startswith("book."):
            return None
        data = terms["data"]
        before = None if data["type"] == "snapshot" else int(data["prev_change_id"])
        return Step(x.safe_symbol(data["instrument_name"]), before, int(data["change_id"]))

    def fault(self, message: Raw) -> str:
        error = message.get("error")
        return "" if error is None else f"{error.get('code')} {error.get('message')}"

    async def surface(self, x: Any, base: str) -> tuple[tuple[int, float, float], ...]:
        """The marks of the calls and puts that settle in USDC, each strike once."""
        reply = await x.publicGetGetBookSummaryByCurrency({"currency": "USDC", "kind": "option"})
        points: dict[tuple[int, float], float] = {}
        for row in reply["result"]:
            market = x.safe_market(row["instrument_name"])
            if market["option"] and market["base"] == base and row.get("mark_iv"):
                points[int(market["expiry"]), float(market["strike"])] = float(row["mark_iv"]) / 100
        return tuple((*at, volatility) for at, volatility in sorted(points.items()))

    async def _fills(self, x: Any, symbol: str, since: int, until: int, historical: bool) -> list[Raw]:
        """Page by page, from the oldest."""
        market, found = x.market(symbol), list[Raw]()
        terms = {"instrument_name": market["id"], "end_timestamp": until, "historical": historical}
        while True:
            asked = {**terms, "start_timestamp": since, "count": PAGE, "sorting": "asc"}
            reply = (await x.privateGetGetUserTradesByInstrumentAndTime(asked))["result"]
            page = x.parse_trades(reply["trades"], market)
            found += page
            if not reply["has_more"]:
                return found
            since = max(since + 1, page[-1]["timestamp"])

    async def _logged(self, x: Any, terms: Raw) -> list[Raw]:
        """Rows of the transaction log, page by page, from the newest."""
        found: list[Raw] = []
        further: dict[str, int] = {}
        while True:
            reply = (await x.privateGetGetTransactionLog({**terms, "count": LOGGED, **further}))["result"]
            found += reply["logs"]
            if reply["continuation"] is None:
                return found
            further = {"continuation": reply["continuation"]}
            await x.throttle(A_SECOND)

    async def _summaries(self, x: Any) -> list[Raw]:
        """Of the account, a row for each currency."""
        return list((await x.privateGetGetAccountSummaries({}))["result"]["summaries"])

    async def _positions(self, x: Any) -> list[Raw]:
        reply = await x.privateGetGetPositions({})
        return [row for row in reply["result"] if _number(row, "size") != 0]


def _paid(row: Raw, symbol: str) -> Payment | Delivery | None:
    """What a row of the transaction log says of funding or of a delivery."""
    name, time, funding = str(row["id"]), int(row["timestamp"]), _number(row, "interest_pl")
    if row["type"] == "delivery":
        units = _number(row, "amount") * (-1 if str(row["side"]).endswith("sell") else 1)
        return Delivery(name, symbol, units, _worth(row, symbol), time)
    return Payment(name, symbol, funding, time) if row["type"] in FUNDED and funding != 0 else None


def _worth(row: Raw, symbol: str) -> Decimal:
    """Of a unit delivered: what an option paid; of a future, whose profit alone is paid, its price."""
    option = symbol.endswith(("-C", "-P"))
    return abs(_number(row, "change") / _number(row, "amount")) if option else _number(row, "price")


def _money(x: Any, symbol: str) -> str:
    """What an instrument settles in, and a spot is paid for in."""
    market = x.market(symbol)
    return str(market["quoteId"] if market["spot"] else market["settleId"])


def _number(row: Raw, name: str) -> Decimal:
    return Decimal(str(row.get(name) or 0))


def _sum(rows: Sequence[Raw], name: str) -> Decimal:
    return sum((_number(row, name) for row in rows), Decimal(0))


def _linear(x: Any, row: Raw) -> bool:
    return bool(x.safe_market(row["instrument_name"])["linear"])


def _cost(row: Raw) -> Decimal:
    """What a future was last marked to the account for: its price then is its mark less its profit since."""
    return _number(row, "size") * _number(row, "mark_price") - _number(row, "floating_profit_loss")
