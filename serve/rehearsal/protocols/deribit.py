"""Deribit's protocol: JSON-RPC by GET, by POST and by one websocket, with linear perpetuals and options in USDC.

Source: the exchange's documentation, and what ccxt asks for and reads. Client ids travel as `label`, which the venue
does not look at: two orders may bear the same.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from itertools import count
from typing import Any, Literal

from serve.clock import SECOND
from serve.rehearsal.protocols import Floor, Key, Reply, Request, Session
from serve.rehearsal.protocols._deribit_calls import Call, Fault
from serve.rehearsal.protocols._deribit_private import METHODS as PRIVATE
from serve.rehearsal.protocols._deribit_private import TRADING
from serve.rehearsal.protocols._deribit_public import METHODS as PUBLIC
from serve.rehearsal.protocols._deribit_pushed import pushed, snapshots
from serve.rehearsal.types import Happening

ROOT = "/api/v2/"
HEARTBEAT = 10  # seconds, at least
MATCHING = 4  # what a request to the matching engine costs in reads


class Deribit:
    roots = (ROOT,)
    sockets = ("/ws/api/v2",)
    unique_ids = False
    funding: Literal["deadband", "clamped"] = "deadband"

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = {key.key: key for key in keys}
        self._connections = count(1)

    def rest(self, request: Request, floor: Floor) -> Reply:
        params: dict[str, Any] = dict(request.params)
        if request.body:
            params |= json.loads(request.body).get("params", {})
        try:
            method = request.path.removeprefix(ROOT)
            key = self._signed(request) if method.startswith("private/") else None
            result = self._called(method, Call(floor, params, key, "" if key is None else key.account))
            return Reply(_enveloped({"result": result}))
        except Fault as fault:
            return Reply(_enveloped({"error": fault.told}), fault.status)

    def busy(self, request: Request) -> Reply:
        return Reply(_enveloped({"error": Fault(10028, "too_many_requests").told}), 429)

    def cost(self, request: Request) -> int:
        last = request.path.rpartition("/")[2]
        return MATCHING if last in ("buy", "sell") or last.startswith("cancel") else 1

    def ws(self, session: Session, message: str, floor: Floor) -> list[str]:
        asked = json.loads(message)
        method, params = asked["method"], asked.get("params") or {}
        try:
            result, more = self._over_socket(session, method, params, floor)
            body: dict[str, Any] = {"result": result}
        except Fault as fault:
            body, more = {"error": fault.told}, []
        return [json.dumps(_enveloped(body) | {"id": asked.get("id")}), *more]

    def push(self, session: Session, happening: Happening, floor: Floor) -> list[str]:
        return pushed(session, happening, floor)

    def _over_socket(
        self, session: Session, method: str, params: dict[str, Any], floor: Floor
    ) -> tuple[Any, list[str]]:
        if method == "public/auth":
            known = self._known(params)
            session.account, session.notes["key"] = known.account, known
            return _token(known), []
        key = session.notes.get("key")
        if method.startswith("private/") and key is None:
            raise Fault(13009, "unauthorized")
        if method.endswith("/subscribe"):
            new = _allowed(params["channels"], session)
            session.channels |= set(new)
            return new, snapshots(session, new, floor)
        if method.endswith("/unsubscribe"):
            session.channels -= set(params["channels"])
            return params["channels"], []
        call = Call(floor, params, key, session.account, session.connection)
        if method == "private/enable_cancel_on_disconnect":
            return self._tied(session, call), []
        if method == "private/get_cancel_on_disconnect":
            return {"scope": "connection", "enabled": bool(session.connection)}, []
        if method == "public/set_heartbeat":
            return _beating(session, call), []
        return self._called(method, call), []

    def _tied(self, session: Session, call: Call) -> str:
        if call.key is None or "account" not in call.key.permissions:
            raise Fault(13021, "forbidden", 403)
        if call.params.get("scope", "connection") != "connection":
            raise Fault(-32602, "Invalid params: scope")
        session.connection = session.connection or str(next(self._connections))
        return "ok"

    def _called(self, method: str, call: Call) -> Any:
        if method == "public/auth":
            return _token(self._known(call.params))
        answer = (PUBLIC | PRIVATE).get(method)
        if answer is None:
            raise Fault(-32601, "Method not found")
        if method in TRADING and (call.key is None or "trade" not in call.key.permissions):
            raise Fault(13021, "forbidden", 403)
        return answer(call)

    def _signed(self, request: Request) -> Key:
        """Header: deri-hmac-sha256 id=..,ts=..,sig=..,nonce=.. over time, nonce, method, path with query, body."""
        kind, _, rest = request.headers.get("authorization", "").partition(" ")
        parts = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
        if kind != "deri-hmac-sha256" or not {"id", "ts", "sig", "nonce"} <= parts.keys():
            raise Fault(10000, "authorization_required")
        uri = request.path + (f"?{request.query}" if request.query else "")
        said = f"{parts['ts']}\n{parts['nonce']}\n{request.method}\n{uri}\n{request.body}\n"
        return self._proven(parts["id"], said, parts["sig"])

    def _known(self, params: dict[str, Any]) -> Key:
        """By client_signature, or by the secret itself."""
        if params.get("grant_type") == "client_credentials":
            key = self._keys.get(str(params.get("client_id")))
            if key is None or not hmac.compare_digest(key.secret, str(params.get("client_secret"))):
                raise Fault(13004, "invalid_credentials")
            return key
        said = f"{params.get('timestamp')}\n{params.get('nonce')}\n{params.get('data', '')}"
        return self._proven(str(params.get("client_id")), said, str(params.get("signature")))

    def _proven(self, name: str, said: str, signature: str) -> Key:
        key = self._keys.get(name)
        secret = "" if key is None else key.secret
        made = hmac.new(secret.encode(), said.encode(), hashlib.sha256).hexdigest()
        if key is None or not hmac.compare_digest(made, signature):
            raise Fault(13004, "invalid_credentials")
        return key


def _enveloped(body: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "usIn": 0, "usOut": 0, "usDiff": 0, "testnet": False, **body}


def _token(key: Key) -> dict[str, Any]:
    account, trade, wallet = (
        "read_write" if right in key.permissions else "read" for right in ("account", "trade", "withdraw")
    )
    return {
        "access_token": f"token-{key.key}",
        "refresh_token": f"again-{key.key}",
        "token_type": "bearer",
        "expires_in": 31_536_000,
        "scope": f"account:{account} block_trade:none custody:none trade:{trade} wallet:{wallet} mainaccount",
    }


def _beating(session: Session, call: Call) -> str:
    seconds = call.count(0, "interval", 1 << 20)
    if seconds < HEARTBEAT:
        raise Fault(-32602, "Invalid params: interval")
    told = {"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "test_request"}}
    session.silence, session.probe = seconds * SECOND, json.dumps(told)
    return "ok"


def _allowed(channels: list[str], session: Session) -> list[str]:
    """What may be subscribed to; `raw` and `user` need a login."""
    if any((name.startswith("user.") or name.endswith(".raw")) and not session.account for name in channels):
        raise Fault(13778, "raw_subscriptions_not_available_for_unauthorized")
    return channels
