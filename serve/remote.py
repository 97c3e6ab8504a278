"""A hedger by the API beside it, from another machine: how it stands, and what it is told."""

from __future__ import annotations

import ipaddress
import json
import ssl
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from envs.types import BadInput
from serve.booked import Booked, BookFunded, BookSettled, BookTraded
from serve.clock import SECOND, RealClock
from serve.codec import encode
from serve.errors import ServeError
from serve.events import CollateralMoved, TargetSet
from serve.inbox import Instruction
from serve.private import text_of

SAFER = ("halt", "flatten", "fallback")
PATIENCE = 30.0  # seconds without a word
LOOK = SECOND // 2  # between looks for an answer
MOVED = ("account", "source", "expected", "why")
TARGET = ("asset", "delta", "gamma", "vega", "hedge_ratio", "above", "below", "why")
BOOKED: dict[type, str] = {
    BookTraded: "/v1/book/traded",
    BookSettled: "/v1/book/settled",
    BookFunded: "/v1/book/funded",
}
ADDRESS = ("http://", "https://")


class RemoteError(ServeError):
    """The API does not answer, or refuses."""


class Remote:
    """Follows no redirect and asks no proxy: the token goes to the address that was given, and nowhere else."""

    def __init__(self, address: str, token_file: Path | None) -> None:
        """Raises BadInput for what is no address, for a token in clear over a network, or a file that others read."""
        self._at = urlsplit(address)
        if self._at.hostname is None or self._at.path not in ("", "/"):
            raise BadInput(f"{address}: no address; write it as https://host:8470")
        secret = "" if token_file is None else text_of(token_file, "write your token there, mode 600").strip()
        if not (secret.isascii() and secret.isprintable()):
            raise BadInput(f"{token_file}: no token; it is one line, NAME.SECRET")
        if secret and self._at.scheme == "http" and not loopback(self._at.hostname):
            raise BadInput(f"{address}: a token would cross the network in clear; use https")
        self._headers = {"Authorization": f"Bearer {secret}"} if secret else {}

    def read(self, path: str) -> Any:
        """JSON. Raises RemoteError."""
        with self._asked("GET", path) as reply:
            return json.loads(reply.read())

    def events(self, path: str) -> Generator[Any, None, None]:
        """The JSON of each server-sent event, until the server ends. Raises RemoteError."""
        with self._asked("GET", path) as reply:
            for line in reply:
                if line.startswith(b"data:"):
                    yield json.loads(line[5:])

    def tell(self, told: Instruction, wait: float) -> tuple[str, str | None]:
        """The id that it is recorded under and its answer, if one came within `wait` seconds. Raises RemoteError."""
        name, clock = uuid.uuid4().hex, RealClock()
        until = clock.now() + round(wait * SECOND)
        path, body = _request(told)
        with self._asked("POST", path, {**body, "id": name}) as reply:
            answer = json.loads(reply.read())["answer"]
        while answer is None and clock.now() < until:
            clock.wait_until(clock.now() + LOOK)
            answer = self.read(f"/v1/commands/{name}")["answer"]
        return name, answer

    @contextmanager
    def _asked(self, method: str, path: str, body: dict[str, Any] | None = None) -> Iterator[HTTPResponse]:
        sent = None if body is None else json.dumps(body)
        headers = self._headers if body is None else {**self._headers, "Content-Type": "application/json"}
        line = self._line()
        try:
            line.request(method, path, sent, headers)
            reply = line.getresponse()
            if reply.status >= 300:
                raise RemoteError(f"{self._at.netloc} refuses: {_detail(reply)}")
            yield reply
        except (OSError, HTTPException, ValueError, KeyError) as error:
            raise RemoteError(f"{self._at.netloc} does not answer as the API does: {error or 'it ended'}") from None
        finally:
            line.close()

    def _line(self) -> HTTPConnection:
        host, port = self._at.hostname or "", self._at.port
        if self._at.scheme == "http":
            return HTTPConnection(host, port, timeout=PATIENCE)
        return HTTPSConnection(host, port, timeout=PATIENCE, context=ssl.create_default_context())


def is_address(hedger: str) -> bool:
    """Whether it is an API's, rather than a journal's."""
    return hedger.startswith(ADDRESS)


def loopback(host: str) -> bool:
    """Whether it cannot be reached from elsewhere."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _request(told: Instruction) -> tuple[str, dict[str, Any]]:
    if isinstance(told, TargetSet):
        return "/v1/target", {name: getattr(told, name) for name in TARGET}
    if isinstance(told, CollateralMoved):
        moved = {name: getattr(told, name) for name in MOVED}
        return "/v1/transfer", moved | {"amount": float(told.amount)}
    if isinstance(told, Booked):
        left_out = {"time", "type", "who", "command", "more"}
        body = {name: value for name, value in json.loads(encode(told)).items() if name not in left_out}
        return BOOKED[type(told)], body
    path = "/v1/safer" if told.action in SAFER else "/v1/freer"
    return path, {"action": told.action, "subject": told.subject, "why": told.why}


def _detail(reply: HTTPResponse) -> str:
    """What the API says, or else the status."""
    try:
        said = json.loads(reply.read())["detail"]
    except (ValueError, KeyError, TypeError):
        return f"{reply.status} {reply.reason}"
    return said if isinstance(said, str) else f"{reply.status}: {json.dumps(said)[:200]}"
