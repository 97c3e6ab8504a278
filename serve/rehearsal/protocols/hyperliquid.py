"""Hyperliquid's protocol: questions anybody may ask, and actions that a wallet has signed."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Literal

from serve.rehearsal.protocols import Floor, Key, Reply, Request, Session
from serve.rehearsal.protocols import _hyperliquid as spelt
from serve.rehearsal.protocols._hyperliquid_calls import ACTIONS, INFO, Asked, Wrong, role
from serve.rehearsal.protocols._shared import Listings, begun, same
from serve.rehearsal.types import Accepted, Gone, Happening, Instrument, LevelsChanged, Moved, Traded

MARKET = ("l2Book", "activeAssetCtx")
OWN = ("userFills", "orderUpdates")


class Hyperliquid:
    """Signatures are made again with the keys that are known, and compared."""

    roots = ("/info", "/exchange")
    sockets = ("/ws/hyperliquid",)  # /ws at Hyperliquid, which here begins the paths of others too
    unique_ids = True
    funding: Literal["deadband", "clamped"] = "clamped"

    def __init__(self, keys: Sequence[Key]) -> None:
        self._wallets = {key.wallet: key for key in keys}
        self._nonces = {key: deque[int](maxlen=100) for key in keys}
        self._listings = Listings((), spelt.name)

    @cached_property
    def _signer(self) -> Any:
        """ccxt, which is imported only where somebody speaks to a Hyperliquid."""
        from serve.venues import wire

        return wire.made("hyperliquid", {})

    @cached_property
    def _addresses(self) -> dict[str, Key]:
        """The keys by the address that they sign as."""
        address = self._signer.eth_get_address_from_private_key
        return {str(address(key.private_key)).lower(): key for key in self._nonces}

    def cost(self, request: Request) -> int:
        return 1

    def busy(self, request: Request) -> Reply:
        return Reply(None, 429)

    def rest(self, request: Request, floor: Floor) -> Reply:
        try:
            given = json.loads(request.body)
            return Reply(self._told(given, floor) if request.path == "/info" else self._done(given, floor))
        except Wrong as wrong:
            return Reply({"status": "err", "response": str(wrong)})
        except (ValueError, KeyError, TypeError, ArithmeticError) as error:
            return Reply(f"Failed to deserialize the JSON body into the target type: {error}", 422)

    def _told(self, given: dict[str, Any], floor: Floor) -> Any:
        wallet = str(given.get("user", ""))
        if given["type"] == "userRole":
            return role(self._addresses, wallet)
        account = self._wallets[wallet].account if wallet in self._wallets else ""
        return INFO[given["type"]](Asked(floor, self._known(floor), given, account, wallet))

    def _done(self, given: dict[str, Any], floor: Floor) -> Any:
        key = self._signed(given)
        action = given["action"]
        if action["type"] not in ACTIONS:
            raise Wrong(f"Unknown action {action['type']}")
        asked = Asked(floor, self._known(floor), action, key.account, key.wallet, int(given["nonce"]))
        return {"status": "ok", "response": ACTIONS[action["type"]](asked)}

    def _signed(self, given: dict[str, Any]) -> Key:
        sent = given["signature"]
        for key in self._nonces:
            if "trade" in key.permissions:
                self._signer.privateKey = key.private_key
                made = self._signer.sign_l1_action(given["action"], given["nonce"], given.get("vaultAddress"))
                if same(f"{made['r']}{made['s']}", f"{sent['r']}{sent['s']}"):
                    return self._numbered(key, int(given["nonce"]))
        raise Wrong("User or API Wallet does not exist.")

    def _numbered(self, key: Key, nonce: int) -> Key:
        """A wallet's actions are each of a number of their own."""
        if nonce in self._nonces[key]:
            raise Wrong(f"Invalid nonce: duplicate nonce {nonce}")
        self._nonces[key].append(nonce)
        return key

    def ws(self, session: Session, message: str, floor: Floor) -> list[str]:
        try:
            asked = json.loads(message)
            if asked["method"] == "ping":
                return [json.dumps({"channel": "pong"})]
            wanted = asked["subscription"]
            channel = self._channel(wanted, floor)
            if asked["method"] == "unsubscribe":
                session.channels.discard(channel)
                return []
            session.channels.add(channel)
            told = {"method": "subscribe", "subscription": wanted}
            return [_message("subscriptionResponse", told), *self._first(channel, floor)]
        except (ValueError, KeyError, TypeError):
            return [_message("error", f"Invalid subscription {message}")]

    def _channel(self, wanted: dict[str, Any], floor: Floor) -> str:
        """Raises KeyError where there is none such."""
        kind = str(wanted["type"])
        if kind in OWN:
            return f"{kind}:{self._wallets[wanted['user']].wallet}"
        if kind not in MARKET:
            raise KeyError(kind)
        return f"{kind}:{self._known(floor).wire[self._known(floor).by_wire[wanted['coin']].name]}"

    def _first(self, channel: str, floor: Floor) -> list[str]:
        """What a channel begins with: of the fills, those that were."""
        kind, _, whose = channel.partition(":")
        if kind == "orderUpdates":
            return []
        if kind == "userFills":
            asked = Asked(floor, self._known(floor), {}, self._wallets[whose].account, whose)
            return [_message(kind, {"isSnapshot": True, "user": whose, "fills": INFO["userFills"](asked)})]
        return [self._market(kind, self._known(floor).by_wire[whose], floor)] if begun(floor.exchange, whose) else []

    def push(self, session: Session, happening: Happening, floor: Floor) -> list[str]:
        names = self._known(floor).by_name
        match happening:
            case LevelsChanged(instrument=name) if name in names and f"l2Book:{names[name].base}" in session.channels:
                seen = floor.exchange.book(name, spelt.DEPTH)
                return [_message("l2Book", spelt.book(seen, names[name], floor.shown, happening.changes))]
            case Moved(asset=asset):
                return list(self._moved(session, asset, floor))
            case Traded(fill=fill, order=order) if fill.instrument in names:
                own = names[fill.instrument]
                wallet = self._heard(session, "userFills", fill.account)
                told = {"isSnapshot": False, "user": wallet, "fills": [spelt.filled(fill, own, wallet)]}
                return [
                    *([_message("userFills", told)] if wallet else []),
                    *self._ordered(session, order.account, spelt.standing(order, own)),
                ]
            case Accepted(order=order) if order.instrument in names:
                return self._ordered(session, order.account, spelt.standing(order, names[order.instrument]))
            case Gone(order=order, why=why) if order.instrument in names:
                return self._ordered(session, order.account, spelt.standing(order, names[order.instrument], why))
        return []

    def _ordered(self, session: Session, account: str, told: dict[str, Any]) -> list[str]:
        return [_message("orderUpdates", [told])] if self._heard(session, "orderUpdates", account) else []

    def _heard(self, session: Session, kind: str, account: str) -> str:
        """The wallet by which a session hears of an account; empty where it does not."""
        return next(
            (w for w, k in self._wallets.items() if k.account == account and f"{kind}:{w}" in session.channels), ""
        )

    def _moved(self, session: Session, asset: str, floor: Floor) -> Iterator[str]:
        """The book of each block goes before what is told of its prices, which bears no time."""
        for kind in MARKET:
            if f"{kind}:{asset}" in session.channels:
                yield self._market(kind, self._known(floor).by_wire[asset], floor)

    def _market(self, kind: str, listed: Instrument, floor: Floor) -> str:
        if kind == "l2Book":
            return _message(kind, spelt.book(floor.exchange.book(listed.name, spelt.DEPTH), listed, floor.shown))
        seen = floor.exchange.ticker(listed.name)
        return _message(kind, {"coin": spelt.name(listed), "ctx": spelt.context(seen)})

    def _known(self, floor: Floor) -> Listings:
        """The perpetuals; the rules never change: read once."""
        if not self._listings.by_name:
            perpetuals = [each for each in floor.exchange.rules.instruments if each.kind == "perpetual"]
            self._listings = Listings(perpetuals, spelt.name)
        return self._listings


def _message(channel: str, data: Any) -> str:
    return json.dumps({"channel": channel, "data": data})
