"""Binance's USD-M futures: signed query strings, a listen key for what is private, streams by name."""

from __future__ import annotations

import hmac
import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal
from urllib.parse import parse_qsl

from serve.rehearsal.protocols import Floor, Key, Reply, Request, Session
from serve.rehearsal.protocols import _binance as spelt
from serve.rehearsal.protocols._binance_calls import PRIVATE, PUBLIC, Asked, Wrong
from serve.rehearsal.protocols._shared import Listings, begun, same
from serve.rehearsal.types import Accepted, Gone, Happening, Instrument, LevelsChanged, Moved, Traded

LISTEN = "listen-"  # begins a listen key; the account follows


class BinanceUsdm:
    roots = ("/fapi/", "/sapi/")
    sockets = ("/public/ws", "/market/ws", "/private/ws")
    unique_ids = True
    funding: Literal["deadband", "clamped"] = "clamped"

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = {key.key: key for key in keys}
        self._listings = Listings((), spelt.name)

    def cost(self, request: Request) -> int:
        return 1

    def busy(self, request: Request) -> Reply:
        return Reply({"code": -1003, "msg": "Too many requests."}, 429, {"Retry-After": "1"})

    def rest(self, request: Request, floor: Floor) -> Reply:
        try:
            return Reply(self._answered(request, floor))
        except Wrong as wrong:
            return Reply(wrong.body, wrong.status)
        except (ValueError, KeyError, TypeError, ArithmeticError) as error:
            return Reply({"code": -1102, "msg": f"Mandatory parameter was not sent or malformed: {error}"}, 400)

    def _answered(self, request: Request, floor: Floor) -> Any:
        way, sent = request.path[len("/fapi/") :], request.body or request.query
        asked = Asked(floor, self._known(floor), dict(parse_qsl(sent)))
        if way in PUBLIC:
            return PUBLIC[way](asked)
        asked.key = self._key(request)
        if way == "v1/listenKey":
            return {"listenKey": LISTEN + asked.account}
        if (request.method, way) not in PRIVATE:
            raise Wrong(-5000, f"Path {request.path} is invalid", 404)
        signed, _, signature = sent.partition("&signature=")
        if not same(hmac.new(asked.key.secret.encode(), signed.encode(), "sha256").hexdigest(), signature):
            raise Wrong(-1022, "Signature for this request is not valid.")
        if request.method != "GET" and "trade" not in asked.key.permissions:
            raise Wrong(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        return PRIVATE[request.method, way](asked)

    def _key(self, request: Request) -> Key:
        key = self._keys.get(request.headers.get("x-mbx-apikey", ""))
        if key is None:
            raise Wrong(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        return key

    def ws(self, session: Session, message: str, floor: Floor) -> list[str]:
        """Of a stream that does not exist nothing is said, and nothing comes."""
        try:
            asked = json.loads(message)
            streams, number = set(map(str, asked["params"])), asked["id"]
            change = {"SUBSCRIBE": session.channels.update, "UNSUBSCRIBE": session.channels.difference_update}
            change[asked["method"]](streams)
        except (ValueError, KeyError, TypeError) as error:
            return [json.dumps({"error": {"code": 2, "msg": f"Invalid request: {error}"}, "id": None})]
        marks = self._marks(streams & session.channels, self._known(floor).by_name.values(), floor)
        return [json.dumps({"result": None, "id": number}), *marks]

    def push(self, session: Session, happening: Happening, floor: Floor) -> list[str]:
        names = self._known(floor).by_name
        match happening:
            case LevelsChanged(instrument=name) if name in names:
                stream = f"{spelt.name(names[name]).lower()}@depth@100ms"
                return [_changed(spelt.name(names[name]), happening, floor)] if stream in session.channels else []
            case Moved(asset=asset):
                moved = [each for each in names.values() if each.base == asset]
                return self._marks(session.channels, moved, floor)
            case Traded(fill=fill, order=order) if self._hears(session, order.account, order.instrument):
                return [json.dumps(spelt.update(order, names[order.instrument], "TRADE", floor.shown, fill))]
            case Accepted(order=order) if self._hears(session, order.account, order.instrument):
                return [json.dumps(spelt.update(order, names[order.instrument], "NEW", floor.shown))]
            case Gone(order=order) if self._hears(session, order.account, order.instrument):
                return [json.dumps(spelt.update(order, names[order.instrument], spelt.state(order), floor.shown))]
        return []

    def _marks(self, streams: Collection[str], moved: Iterable[Instrument], floor: Floor) -> list[str]:
        return [
            json.dumps(spelt.marked(floor.exchange.ticker(each.name), each, floor.shown))
            for each in moved
            if f"{spelt.name(each).lower()}@markPrice@1s" in streams and begun(floor.exchange, each.base)
        ]

    def _hears(self, session: Session, account: str, name: str) -> bool:
        """A socket of a listen key has nothing to subscribe to."""
        own = session.path.endswith(f"listenKey={LISTEN}{account}") and name in self._listings.by_name
        if own:
            session.account = account
        return own

    def _known(self, floor: Floor) -> Listings:
        """The perpetuals; the rules never change: read once."""
        if not self._listings.by_name:
            perpetuals = [each for each in floor.exchange.rules.instruments if each.kind == "perpetual"]
            self._listings = Listings(perpetuals, spelt.name)
        return self._listings


def _changed(symbol: str, change: LevelsChanged, floor: Floor) -> str:
    sides = {
        side[0]: spelt.levels([(price, size) for own, price, size in change.changes if own == side])
        for side in ("bid", "ask")
    }
    numbers = {"U": change.sequence, "u": change.sequence, "pu": change.sequence - 1}
    return json.dumps({"e": "depthUpdate", "E": floor.shown, "T": change.time, "s": symbol, **numbers, **sides})
