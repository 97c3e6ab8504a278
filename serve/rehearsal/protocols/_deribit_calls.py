"""What a call of a Deribit method is, and how the venue says no."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from serve.rehearsal.protocols import Floor, Key
from serve.rehearsal.protocols import _deribit as spelt
from serve.rehearsal.types import Instrument, Refusal

PAGE = 1000  # lines of history in one answer, at most
LOGGED = 250  # and of the transaction log
REFUSED: dict[Refusal, tuple[int, str]] = {
    "no_instrument": (-32602, "Invalid params"),
    "lot": (-32602, "Invalid params"),
    "past": (-32602, "Invalid params"),
    "tick": (10043, "price_wrong_tick"),
    "price_band": (10007, "price_too_high"),
    "post_only": (11054, "post_only_reject"),
    "reduce_only": (11030, "other_reject invalid_reduce_only_order"),
    "unfillable": (11030, "other_reject fill_or_kill"),
    "no_funds": (10009, "not_enough_funds"),
    "duplicate_id": (11030, "other_reject"),
    "cap": (10018, "non_pme_max_future_position_size"),
    "not_found": (11044, "not_open_order"),
    "maintenance": (11051, "system_maintenance"),
}


class Fault(Exception):
    """An error as the venue tells it."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status

    @property
    def told(self) -> dict[str, Any]:
        return {"code": self.code, "message": str(self)}


@dataclass(frozen=True)
class Call:
    """A method asked for, by whom, and with what."""

    floor: Floor
    params: dict[str, Any]
    key: Key | None
    account: str
    connection: str = ""

    def text(self, name: str) -> str:
        value = self.params.get(name)
        if value is None:
            raise Fault(-32602, f"Invalid params: {name} is missing")
        return str(value)

    def number(self, name: str) -> Decimal:
        """What is sent by websocket is JSON, where a number is one."""
        if self.connection and isinstance(self.params.get(name), str):
            raise Fault(-32602, f"Invalid params: {name} must be a number")
        try:
            return Decimal(self.text(name))
        except InvalidOperation:
            raise Fault(-32602, f"Invalid params: {name}") from None

    def time(self, name: str, default: int) -> int:
        return int(self.params.get(name, default))

    @property
    def span(self) -> tuple[int, int]:
        """From and to, both of which must be told."""
        return int(self.text("start_timestamp")), int(self.text("end_timestamp"))

    def flag(self, name: str) -> bool:
        return str(self.params.get(name, "false")).lower() == "true"

    @property
    def instrument(self) -> Instrument:
        asked = self.text("instrument_name")
        for listed in self.floor.exchange.instruments():
            if spelt.name(listed) == asked:
                return listed
        raise Fault(-32602, "Invalid params: instrument_name")

    def count(self, default: int, name: str = "count", most: int = PAGE) -> int:
        asked = self.time(name, default)
        if not 0 < asked <= most:
            raise Fault(-32602, f"Invalid params: {name} is at most {most}")
        return asked

    def covers(self, name: str) -> bool:
        """Whether an instrument, one that has expired too, was asked for."""
        return self.asked(self.floor.exchange.instrument(name))

    def asked(self, listed: Instrument) -> bool:
        """Whether currency, kind and name leave it in. The currency is what it settles in, or a spot is paid for in."""
        told = {"settlement_currency": listed.quote, **spelt.instrument(listed)}
        wanted = {"settlement_currency": self.params.get("currency"), "kind": self.params.get("kind")}
        wanted["instrument_name"] = self.params.get("instrument_name")
        return all(value in (None, "any", told[name]) for name, value in wanted.items())
