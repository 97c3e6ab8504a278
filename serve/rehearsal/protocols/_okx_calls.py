"""A request to OKX, read, and the error that stands in the place of an answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from serve.rehearsal.protocols import Floor, Key, Request
from serve.rehearsal.protocols import _okx as spelt
from serve.rehearsal.protocols._shared import Listings
from serve.rehearsal.types import Instrument

PAGE = 100


class Wrong(Exception):
    """What OKX says in the place of an answer: its code, its words, and the lines that it says them of."""

    def __init__(self, code: str, said: str, data: Sequence[Any] = (), status: int = 200) -> None:
        super().__init__(said)
        self.body, self.status = {"code": code, "msg": said, "data": list(data)}, status


@dataclass
class Asked:
    """A request, read. `key`: that it was signed with; None where it was not."""

    floor: Floor
    listings: Listings
    given: Any  # a list of orders, or parameters by name
    key: Key | None = None

    @property
    def account(self) -> str:
        assert self.key is not None, "a private path"
        return self.key.account

    def get(self, name: str) -> str:
        return str(self.given.get(name, ""))

    def number(self, name: str, otherwise: int) -> int:
        return int(self.get(name) or otherwise)

    def listed(self, wire: str = "") -> Instrument:
        found = self.listings.by_wire.get(wire or self.get("instId"))
        if found is None:
            raise Wrong("51001", f"Instrument ID {wire} does not exist")
        return found

    def alive(self) -> list[Instrument]:
        """Of the type, the underlying and the name asked for."""
        kind, under, wire = self.get("instType"), self.get("uly") or self.get("instFamily"), self.get("instId")
        return [
            each
            for each in self.floor.exchange.instruments()
            if each.name in self.listings.wire
            and kind in ("", spelt.KINDS[each.kind])
            and under in ("", spelt.underlying(each))
            and wire in ("", self.listings.wire[each.name])
        ]


Answer = Callable[[Asked], list[Any]]


def read(request: Request, floor: Floor, listings: Listings) -> Asked:
    return Asked(floor, listings, json.loads(request.body) if request.body else dict(request.params))
