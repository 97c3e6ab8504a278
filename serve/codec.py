"""Events and outputs as canonical JSON bytes and back: one value, one text."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import fields
from decimal import Decimal
from typing import Any, get_type_hints

from serve.commands import OUTPUTS, Output
from serve.errors import JournalBroken
from serve.events import EVENTS, Event

_TYPES: dict[str, type[Event] | type[Output]] = {
    **{kind.__name__: kind for kind in EVENTS},
    **{kind.__name__: kind for kind in OUTPUTS},
}
_HINTS = {name: get_type_hints(kind) for name, kind in _TYPES.items()}


def encode(item: Event | Output) -> bytes:
    """Keys sorted, no spaces; Decimals as text, floats by their shortest round trip, infinities and NaN as text."""
    body = {name.name: _plain(getattr(item, name.name)) for name in fields(item)}
    return canonical({"type": type(item).__name__, **body})


def decode(body: bytes) -> Event | Output:
    """Raises JournalBroken for bytes that are no event or output."""
    try:
        raw = json.loads(body)
        kind = _TYPES[raw.pop("type")]
        hints = _HINTS[kind.__name__]
        return kind(**{name: _typed(value, hints[name]) for name, value in raw.items()})
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise JournalBroken(f"no event or output: {body[:80]!r} ({error})") from None


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def digest(value: bytes | str | Sequence[float]) -> str:
    """SHA-256, hexadecimal."""
    data = value.encode() if isinstance(value, str) else value
    return hashlib.sha256(data if isinstance(data, bytes) else canonical(_plain(tuple(data)))).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return [_plain(entry) for entry in value] if isinstance(value, tuple) else value


def _typed(value: Any, hint: Any) -> Any:
    if value is None:
        return None
    if hint is Decimal:
        return Decimal(value)
    if hint is float:
        return float(value)
    return tuple(float(entry) for entry in value) if isinstance(value, list) else value
