"""Who may do what: tokens by name and scope, of which a file keeps the argon2 hashes alone."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tomllib
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Literal

import tomli_w
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from pydantic import Field, ValidationError

from envs.calibration import Section, validated
from envs.types import BadInput
from serve.private import text_of

SECRET_BYTES = 24
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


class Scope(IntEnum):
    """Each may what those before it may."""

    READ = 1
    OPERATE = 2  # halt, flatten and fall back: what makes the hedger safer
    RELEASE = 3  # resume, acknowledge, override, promote, roll back, retarget: what lets it do more


class Kept(Section):
    scope: Literal["read", "operate", "release"]
    hash: str = Field(pattern=r"^\$argon2id\$")


class TokenFile(Section):
    tokens: dict[Name, Kept]


class Tokens:
    """Checks in constant time; a token that was right once is known again without argon2's work."""

    def __init__(self, kept: Mapping[str, Kept]) -> None:
        self._kept, self._hasher = dict(kept), PasswordHasher()
        self._key = secrets.token_bytes(32)  # of this process, so that what is remembered is worth nothing elsewhere
        self._known: dict[str, bytes] = {}
        self._nobody = self._hasher.hash(secrets.token_hex(16))

    def __bool__(self) -> bool:
        return bool(self._kept)

    def scope(self, token: str) -> tuple[str, Scope] | None:
        """Whose it is and what it may do; None for a wrong one, which takes as long where nobody has the name."""
        name, _, secret = token.partition(".")
        if self.known(token) is not None:
            return name, _scope(self._kept[name])
        kept = self._kept.get(name)
        try:
            self._hasher.verify(self._nobody if kept is None else kept.hash, secret)
        except (Argon2Error, InvalidHashError):
            return None
        if kept is None:
            return None
        self._known[name] = self._digest(token)
        return name, _scope(kept)

    def known(self, token: str) -> str | None:
        """Whose it is, of a token that was right before; no other is looked at."""
        name = token.partition(".")[0]
        return name if hmac.compare_digest(self._known.get(name, b""), self._digest(token)) else None

    def _digest(self, token: str) -> bytes:
        return hmac.digest(self._key, token.encode(), hashlib.sha256)


def load(path: Path) -> Tokens:
    """Raises BadInput for a file that others may read, or that holds anything but names, scopes and hashes."""
    return Tokens(_read(path).tokens)


def issued(path: Path, name: str, scope: Literal["read", "operate", "release"]) -> str:
    """A new token, which stands nowhere but in the answer; its hash is added to the file. Raises BadInput."""
    kept = _read(path) if path.exists() else TokenFile(tokens={})
    if name in kept.tokens:
        raise BadInput(f"{path}: {name} has a token; revoke it first, or choose another name")
    secret = secrets.token_urlsafe(SECRET_BYTES)
    entry = {"scope": scope, "hash": PasswordHasher().hash(secret)}
    _write(path, validated(TokenFile, {"tokens": {**_plain(kept), name: entry}}, "token"))
    return f"{name}.{secret}"


def revoked(path: Path, name: str) -> None:
    """Raises BadInput for a name without a token."""
    kept = _plain(_read(path))
    if name not in kept:
        raise BadInput(f"{path}: nobody is named {name}; have {', '.join(sorted(kept)) or 'none'}")
    _write(path, validated(TokenFile, {"tokens": {k: v for k, v in kept.items() if k != name}}, "token"))


def _read(path: Path) -> TokenFile:
    """What is wrong is told by its field and never by its value, which may be a secret."""
    try:
        return TokenFile.model_validate(tomllib.loads(text_of(path, "make it with `rehedge token add`")))
    except ValidationError as error:
        loc = error.errors()[0]["loc"]
        field = ".".join(str(part) if part in ("tokens", "scope", "hash") else "*" for part in loc)
        raise BadInput(f"{path}: {field} is not what it must be; make the entry with `rehedge token add`") from None
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path}: no TOML: {error}") from None


def _write(path: Path, kept: TokenFile) -> None:
    """Whole or not at all, and readable by its owner alone from the first byte."""
    fresh = path.with_name(path.name + ".new")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        tomli_w.dump(kept.model_dump(), file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _plain(kept: TokenFile) -> dict[str, dict[str, str]]:
    plain: dict[str, dict[str, str]] = kept.model_dump()["tokens"]
    return plain


def _scope(kept: Kept) -> Scope:
    return Scope[kept.scope.upper()]
