"""Keys of exchanges: read when they are needed, shown nowhere."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from envs.types import BadInput
from serve.private import text_of
from serve.rehearsal.protocols import TRADER, Key
from serve.venues.settings import Keys

HIDDEN = "***"
LONGEST = 300  # characters of what is said
QUERY = re.compile(r"\?[^\s'\"<>=]*=[^\s'\"<>]*")  # of an address: it may bear a listen key or a signature


class Secrets:
    """By ccxt's names. What prints it prints the names."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)
        found = {form for value in values.values() for form in _forms(value) if form}
        self._forms = sorted(found, key=len, reverse=True)  # one may stand within another

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._values)})"

    def shown(self) -> dict[str, str]:
        """For ccxt alone."""
        return dict(self._values)

    def scrubbed(self, text: str) -> str:
        """What ccxt or the exchange says, in one line of bounded length, without any of them or an address's query."""
        for form in self._forms:
            text = re.sub(re.escape(form), HIDDEN, text, flags=re.IGNORECASE)
        return " ".join(QUERY.sub(f"?{HIDDEN}", text).split())[:LONGEST]

    def words(self, error: BaseException) -> str:
        """What an error says, `scrubbed`."""
        return f"{type(error).__name__}: {self.scrubbed(str(error))}"


def read(keys: Keys, needed: Sequence[str], where: str = "venue.keys") -> Secrets:
    """Raises BadInput where one is missing, or where others may read the file. `where`: in the settings."""
    if keys.file is not None:
        return _whole(_of_file(Path(keys.file)), needed, keys.file)
    missing = [name for name, variable in keys.environment.items() if not os.environ.get(variable)]
    if missing:  # what stands there may be a secret that was pasted, and is not shown
        raise BadInput(
            f"{where}.environment.{missing[0]}: the environment has no such variable; set it, or mend its name"
        )
    found = {name: os.environ[variable] for name, variable in keys.environment.items()}
    return _whole(found, needed, f"{where}.environment")


def _of_file(file: Path) -> dict[str, str]:
    try:
        found = tomllib.loads(text_of(file, "write the exchange's keys there"))
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f'{file}: not valid TOML ({error}); write a line such as apiKey = "..."') from None
    return {name: str(value) for name, value in found.items()}


def _whole(found: Mapping[str, str], needed: Sequence[str], where: str) -> Secrets:
    if missing := [name for name in needed if not found.get(name)]:
        raise BadInput(f"{where}: {missing[0]} is missing; add it")
    return Secrets({name: found[name] for name in needed})


def _forms(value: str) -> tuple[str, str]:
    """As a message may spell it, of hexadecimal digits without their prefix."""
    bare = re.sub("^0x", "", value, flags=re.IGNORECASE)
    return bare, json.dumps(bare)[1:-1]


def rehearsed(needed: Sequence[str], own: Key = TRADER) -> Secrets:
    """Those of an account at the rehearsal exchange, which are none."""
    known = {"apiKey": own.key, "secret": own.secret, "password": own.passphrase}
    known |= {"walletAddress": own.wallet, "privateKey": own.private_key}
    return Secrets({name: known[name] for name in needed})
