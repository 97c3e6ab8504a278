"""Keys of exchanges: read when they are needed, shown nowhere."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from envs.types import BadInput
from serve.private import text_of
from serve.rehearsal.protocols import TRADER, Key
from serve.venues.settings import Keys

HIDDEN = "***"


class Secrets:
    """By ccxt's names. What prints it prints the names."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._values)})"

    def shown(self) -> dict[str, str]:
        """For ccxt alone."""
        return dict(self._values)

    def scrubbed(self, text: str) -> str:
        """A message that may come from ccxt or the exchange, without any of them."""
        for value in self._values.values():
            text = text.replace(value, HIDDEN)
        return text

    def words(self, error: BaseException) -> str:
        """What an error says, in one line of bounded length."""
        said = " ".join(self.scrubbed(str(error)).split())
        return f"{type(error).__name__}: {said[:300]}"


def read(keys: Keys, needed: Sequence[str], where: str = "venue.keys") -> Secrets:
    """Raises BadInput where one is missing, or where others may read the file. `where`: in the settings."""
    if keys.file is not None:
        return _whole(_of_file(Path(keys.file)), needed, keys.file)
    missing = [variable for variable in keys.environment.values() if not os.environ.get(variable)]
    if missing:
        raise BadInput(f"{where}: the environment has no {missing[0]}; set it to the exchange's key")
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


def rehearsed(needed: Sequence[str], own: Key = TRADER) -> Secrets:
    """Those of an account at the rehearsal exchange, which are none."""
    known = {"apiKey": own.key, "secret": own.secret, "password": own.passphrase}
    known |= {"walletAddress": own.wallet, "privateKey": own.private_key}
    return Secrets({name: known[name] for name in needed})
