"""OKX's protocol, version 5: an envelope around everything, and a websocket of its own for what is private."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from serve.rehearsal.protocols import Floor, Key, Reply, Request, Session
from serve.rehearsal.protocols import _okx as spelt
from serve.rehearsal.protocols._okx_calls import Asked, Wrong, read
from serve.rehearsal.protocols._okx_private import PRIVATE
from serve.rehearsal.protocols._okx_public import PUBLIC, funding, index, mark, ticker
from serve.rehearsal.protocols._shared import Listings, begun, same
from serve.rehearsal.types import Accepted, Gone, Happening, Instrument, LevelsChanged, Moved, Order, Traded

_NEWS: Mapping[str, Callable[[Floor, Instrument], dict[str, Any]]] = {
    "tickers": ticker,
    "mark-price": mark,
    "funding-rate": funding,
}


class Okx:
    roots = ("/api/v5/",)
    sockets = ("/ws/v5/",)
    unique_ids = True
    funding: Literal["deadband", "clamped"] = "clamped"

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = {key.key: key for key in keys}
        self._listings = Listings((), spelt.name)

    def cost(self, request: Request) -> int:
        return 1

    def busy(self, request: Request) -> Reply:
        return Reply({"code": "50011", "msg": "Too Many Requests", "data": []}, 429)

    def rest(self, request: Request, floor: Floor) -> Reply:
        try:
            asked = read(request, floor, self._known(floor))
            return Reply({"code": "0", "msg": "", "data": self._answered(request, asked)})
        except Wrong as wrong:
            return Reply(wrong.body, wrong.status)
        except (ValueError, KeyError, TypeError, ArithmeticError) as error:
            return Reply({"code": "51000", "msg": f"Parameter error: {error}", "data": []})

    def _answered(self, request: Request, asked: Asked) -> list[Any]:
        way = request.path.removeprefix("/api/v5/")
        if way in PUBLIC:
            return PUBLIC[way](asked)
        asked.key = self._signed(request)
        if (request.method, way) not in PRIVATE:
            raise Wrong("404", f"Invalid path {request.path}", status=404)
        if request.method == "POST" and "trade" not in asked.key.permissions:
            raise Wrong("50120", "This API key doesn't have permission to use this function", status=401)
        return PRIVATE[request.method, way](asked)

    def _signed(self, request: Request) -> Key:
        said = request.headers
        key = self._keys.get(said.get("ok-access-key", ""))
        if key is None:
            raise Wrong("50111", "Invalid OK-ACCESS-KEY", status=401)
        if said.get("ok-access-passphrase") != key.passphrase:
            raise Wrong("50105", "Request header OK-ACCESS-PASSPHRASE incorrect", status=401)
        path = request.path + (f"?{request.query}" if request.query else "")
        signed = said.get("ok-access-timestamp", "") + request.method + path + request.body
        if not same(_signature(key, signed), said.get("ok-access-sign", "")):
            raise Wrong("50113", "Invalid Sign", status=401)
        return key

    def ws(self, session: Session, message: str, floor: Floor) -> list[str]:
        if message == "ping":
            return ["pong"]
        try:
            asked = json.loads(message)
            if asked["op"] == "login":
                return [self._login(session, asked["args"][0])]
            doing = {"subscribe": self._subscribed, "unsubscribe": self._left}[asked["op"]]
            return [line for arg in asked["args"] for line in doing(session, arg, floor)]
        except (ValueError, KeyError, TypeError, IndexError):
            return [_failed("60012", f"Illegal request: {message}")]

    def _login(self, session: Session, said: Mapping[str, str]) -> str:
        key = self._keys.get(said["apiKey"])
        if key is None:
            return _failed("60005", "Invalid apiKey")
        signature = _signature(key, said["timestamp"] + "GET/users/self/verify")
        if said["passphrase"] != key.passphrase or not same(signature, said["sign"]):
            return _failed("60009", "Login failed.")
        session.account = key.account
        return json.dumps({"event": "login", "code": "0", "msg": "", "connId": "rehearsal"})

    def _subscribed(self, session: Session, arg: dict[str, str], floor: Floor) -> list[str]:
        channel, wire = arg["channel"], arg.get("instId", "")
        if channel == "orders" and not session.account:
            return [_failed("60011", "Please log in")]
        if not self._exists(channel, wire, session, floor):
            return [_failed("60018", f"channel:{channel},instId:{wire} doesn't exist")]
        session.channels.add(f"{channel}:{wire}")
        confirmed = json.dumps({"event": "subscribe", "arg": arg, "connId": "rehearsal"})
        return [confirmed, *self._first(channel, wire, floor)]

    def _exists(self, channel: str, wire: str, session: Session, floor: Floor) -> bool:
        if channel == "orders" or session.path.startswith("/ws/v5/private"):
            return channel == "orders" and session.path.startswith("/ws/v5/private")
        if channel == "index-tickers":
            return wire.partition("-")[0] in {each.base for each in self._known(floor).by_name.values()}
        return channel in ("books", *_NEWS) and wire in self._known(floor).by_wire

    def _left(self, session: Session, arg: dict[str, str], floor: Floor) -> list[str]:
        session.channels.discard(f"{arg['channel']}:{arg.get('instId', '')}")
        return [json.dumps({"event": "unsubscribe", "arg": arg, "connId": "rehearsal"})]

    def _first(self, channel: str, wire: str, floor: Floor) -> list[str]:
        """What a channel begins with."""
        if channel == "orders":
            return []
        if channel != "books":
            return [self._news(channel, wire, floor)] if begun(floor.exchange, wire.partition("-")[0]) else []
        listed = self._known(floor).by_wire[wire]
        seen = floor.exchange.book(listed.name)
        sides = {"bids": spelt.levels(seen.bids, listed), "asks": spelt.levels(seen.asks, listed)}
        return [_book(wire, "snapshot", sides, seen.sequence, -1, floor)]

    def push(self, session: Session, happening: Happening, floor: Floor) -> list[str]:
        known = self._known(floor)
        match happening:
            case LevelsChanged(instrument=name) if f"books:{known.wire.get(name)}" in session.channels:
                return [_changed(known, happening, floor)]
            case Moved():
                return list(self._moved(session, happening.asset, floor))
            case Traded(fill=fill, order=order) if _hears(session, order, known):
                return _told(session, spelt.traded(order, fill, known.by_name[order.instrument]))
            case Accepted(order=order) | Gone(order=order) if _hears(session, order, known):
                return _told(session, spelt.order(order, known.by_name[order.instrument]))
        return []

    def _moved(self, session: Session, asset: str, floor: Floor) -> Iterator[str]:
        for each in sorted(session.channels):
            channel, _, wire = each.partition(":")
            if channel in (*_NEWS, "index-tickers") and wire.partition("-")[0] == asset:
                yield self._news(channel, wire, floor)

    def _news(self, channel: str, wire: str, floor: Floor) -> str:
        if channel == "index-tickers":
            return _message(channel, wire, index(floor, wire))
        return _message(channel, wire, _NEWS[channel](floor, self._known(floor).by_wire[wire]))

    def _known(self, floor: Floor) -> Listings:
        """All but dated futures, which are not spoken of here; the rules never change: read once."""
        if not self._listings.by_name:
            told = [each for each in floor.exchange.rules.instruments if each.kind in spelt.KINDS]
            self._listings = Listings(told, spelt.name)
        return self._listings


def _hears(session: Session, order: Order, known: Listings) -> bool:
    return order.account == session.account and order.instrument in known.by_name


def _signature(key: Key, signed: str) -> str:
    return base64.b64encode(hmac.digest(key.secret.encode(), signed.encode(), "sha256")).decode()


def _failed(code: str, said: str) -> str:
    return json.dumps({"event": "error", "code": code, "msg": said, "connId": "rehearsal"})


def _message(channel: str, wire: str, data: dict[str, Any], **more: Any) -> str:
    return json.dumps({"arg": {"channel": channel, "instId": wire}, **more, "data": [data]})


def _told(session: Session, order: dict[str, Any]) -> list[str]:
    if "orders:" not in session.channels:
        return []
    return [json.dumps({"arg": {"channel": "orders", "instType": "ANY"}, "data": [order]})]


def _changed(known: Listings, change: LevelsChanged, floor: Floor) -> str:
    listed = known.by_name[change.instrument]
    sides = {
        f"{side}s": spelt.levels([(price, size) for own, price, size in change.changes if own == side], listed)
        for side in ("bid", "ask")
    }
    return _book(known.wire[change.instrument], "update", sides, change.sequence, change.sequence - 1, floor)


def _book(wire: str, action: str, sides: dict[str, Any], sequence: int, before: int, floor: Floor) -> str:
    told = {**sides, "instId": wire, "ts": str(floor.shown), "checksum": 0, "seqId": sequence, "prevSeqId": before}
    return _message("books", wire, told, action=action)
