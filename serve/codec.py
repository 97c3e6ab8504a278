"""Events and outputs as canonical JSON bytes and back: one value, one text."""

from __future__ import annotations

import hashlib
import json
import math
import types
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from decimal import Decimal
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from serve.commands import OUTPUTS, Output
from serve.errors import JournalBroken
from serve.events import EVENTS, Event

_TYPES: dict[str, type[Event] | type[Output]] = {
    **{kind.__name__: kind for kind in EVENTS},
    **{kind.__name__: kind for kind in OUTPUTS},
}


def encode(item: Event | Output) -> bytes:
    """Keys sorted, no spaces; Decimals as text, floats by their shortest round trip, infinities and NaN as text."""
    return canonical(_fields(item))


def recorded(event: Event) -> tuple[Event, bytes]:
    """The event and its bytes, which say the very same; half of a surrogate pair, which UTF-8 does not have, is `?`."""
    try:
        return event, encode(event)
    except UnicodeEncodeError:
        body = canonical(_fields(event), "replace")
        clean = decode(body)
        assert isinstance(clean, Event), "it was encoded from one"
        return clean, body


def decode(body: bytes) -> Event | Output:
    """Raises JournalBroken for bytes that are no event or output."""
    try:
        raw = json.loads(body)
        kind: Any = _TYPES[raw.pop("type")]
        made: Event | Output = _reader(kind)(raw)
        return made
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise JournalBroken(f"no event or output: {body[:80]!r} ({error})") from None


def canonical(value: Any, errors: str = "strict") -> bytes:
    """`errors`: as of `str.encode`."""
    try:
        text = _CANONICAL.encode(value)
    except ValueError:  # not finite
        text = _CANONICAL.encode(_plain(value))
    return text.encode(errors=errors)


def digest(value: bytes | str | Sequence[float]) -> str:
    """SHA-256, hexadecimal."""
    data = value.encode() if isinstance(value, str) else value
    return hashlib.sha256(data if isinstance(data, bytes) else canonical(tuple(data))).hexdigest()


def _fields(item: Event | Output) -> dict[str, Any]:
    return {"type": type(item).__name__, **vars(item)}


def _other(value: Any) -> Any:
    """What JSON does not have."""
    return str(value) if isinstance(value, Decimal) else vars(value)


_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False, default=_other
)


def _plain(value: Any) -> Any:
    """With every float that is not finite as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return _plain(vars(value)) if is_dataclass(value) else value


@cache
def _reader(hint: Any) -> Callable[[Any], Any]:
    """What turns the JSON of a value with this type hint into the value; it raises for one of another type."""
    if is_dataclass(hint):
        return _record(hint)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        known = _reader(next(each for each in inner if each is not type(None)))
        return lambda raw: None if raw is None else known(raw)
    if origin is Literal:
        return _one_of(frozenset(inner))
    if origin is tuple:
        return _row(tuple(_reader(each) for each in inner if each is not Ellipsis), inner[-1] is Ellipsis)
    return _number(hint) if hint in (float, Decimal) else _exactly(hint)


def _record(kind: Any) -> Callable[[Any], Any]:
    readers = {name: _reader(hint) for name, hint in get_type_hints(kind).items()}
    return lambda raw: kind(**{name: readers[name](value) for name, value in raw.items()})


def _row(readers: tuple[Callable[[Any], Any], ...], repeated: bool) -> Callable[[Any], Any]:
    if repeated:
        return lambda raw: tuple(readers[0](each) for each in _list(raw))
    return lambda raw: tuple(read(each) for read, each in zip(readers, _list(raw), strict=True))


def _number(kind: type) -> Callable[[Any], Any]:
    def read(raw: Any) -> Any:
        if kind is float and isinstance(raw, bool):
            raise TypeError(f"{raw!r} is no number")
        if kind is Decimal and not isinstance(raw, str):
            raise TypeError(f"{raw!r} is no decimal text")
        return kind(raw)

    return read


def _exactly(kind: type) -> Callable[[Any], Any]:
    def read(raw: Any) -> Any:
        if type(raw) is not kind:
            raise TypeError(f"{raw!r} is no {kind.__name__}")
        return raw

    return read


def _one_of(values: frozenset[Any]) -> Callable[[Any], Any]:
    def read(raw: Any) -> Any:
        if raw not in values:
            raise ValueError(f"{raw!r} is none of {', '.join(sorted(values))}")
        return raw

    return read


def _list(raw: Any) -> list[Any]:
    if not isinstance(raw, list):
        raise TypeError(f"{raw!r} is no list")
    return raw
