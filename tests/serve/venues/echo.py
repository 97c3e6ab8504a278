"""An exchange that says whatever it was sent, and the secrets themselves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from serve.rehearsal.floor import Floor
from serve.rehearsal.protocols import Reply, Request, Session
from serve.rehearsal.types import Happening, Moved

FRAMES: Mapping[str, Any] = {
    "deribit": lambda said: {"jsonrpc": "2.0", "error": {"code": 11050, "message": said}},
    "okx": lambda said: {"event": "error", "code": "60012", "msg": said},
    "binance_usdm": lambda said: {"error": {"code": 2, "msg": said}, "id": 1},
    "hyperliquid": lambda said: {"channel": "error", "data": said},
}


@dataclass
class Echo:
    """A protocol, answering every so many'th request and telling every so many'th move with an error that quotes."""

    spoken: Any
    name: str
    secrets: Iterable[str]
    requests: int = 0  # 0: none
    moves: int = 0
    told: int = 0
    _seen: int = 0
    _moved: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.spoken, name)

    @property
    def quoted(self) -> str:
        return " ".join(("you sent", *self.secrets))

    def rest(self, request: Request, floor: Floor) -> Reply:
        self._seen += 1
        if self.requests and self._seen % self.requests == 0:
            self.told += 1
            said = f"{self.quoted} {request.path}?{request.query} {dict(request.headers)} {request.body}"
            return Reply({"said": said}, 400)
        reply: Reply = self.spoken.rest(request, floor)
        return reply

    def push(self, session: Session, happening: Happening, floor: Floor) -> list[str]:
        texts: list[str] = self.spoken.push(session, happening, floor)
        self._moved += isinstance(happening, Moved)
        if self.moves and isinstance(happening, Moved) and self._moved % self.moves == 0:
            self.told += 1
            texts.append(self.frame())
        return texts

    def frame(self) -> str:
        """A message of a websocket."""
        return json.dumps(FRAMES[self.name](self.quoted))
