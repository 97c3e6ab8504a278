"""The command `doctor`: what would go wrong at the start, or at three in the morning, looked at beforehand."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from envs.types import BadInput
from serve import config as configs
from serve.api import tokens
from serve.cli import AsJson, Rehearsed
from serve.clock import SECOND, RealClock
from serve.config import ServeConfig
from serve.database import file_of, located
from serve.errors import ServeError
from serve.journal import Journal
from serve.market import Market
from serve.session import basis
from serve.venues.settings import ExchangeSettings
from serve.watchdog import Services

ROOM = 2_000_000_000  # bytes that a journal's disk should have free
SLOW = SECOND // 10  # milliseconds that a small commit may take
console = Console()


@dataclass(frozen=True)
class Check:
    name: str
    fine: bool
    words: str


class Unfit(ServeError):
    """A check failed."""


def doctor(
    config: Annotated[Path, typer.Argument(help="The hedger's settings, TOML.")],
    journal: Annotated[str, typer.Option(help="SQLite file or database URL that it will write.")],
    tokens_file: Annotated[Path | None, typer.Option("--tokens", help="The dashboard's.")] = None,
    services: Annotated[Path | None, typer.Option(help="The watchdog's, with an Apprise URL a line.")] = None,
    rehearsal: Rehearsed = None,
    as_json: AsJson = False,
) -> None:
    """Check settings, model, journal, disk, clock, secrets and exchanges before the hedger starts; exit code 1 if any
    fails. At an exchange: that it is reached and trades what is to be traded, what the key may do, and its clock.

    Example: rehedge doctor configs/paper.toml --journal runs/paper.db
    """
    found = list(_checks(config, journal, tokens_file, services, rehearsal))
    if as_json:
        typer.echo(json.dumps([vars(each) for each in found]))
    else:
        for each in found:
            console.print(f"{'ok  ' if each.fine else 'BAD '} {each.name}: {each.words}", markup=False, soft_wrap=True)
    if not all(each.fine for each in found):
        raise typer.Exit(1)


def _checks(
    config: Path, journal: str, tokens_file: Path | None, services: Path | None, rehearsal: str | None
) -> Iterator[Check]:
    yield _checked("settings and model", lambda: _settings(config))
    yield _checked("journal", lambda: _journal(journal))
    yield _checked("disk", lambda: _disk(journal))
    yield _checked("clock", _clock)
    if tokens_file is not None:
        yield _checked("tokens", lambda: _tokens(tokens_file))
    if services is not None:
        yield _checked("services", lambda: _services(services))
    read = _read(config, rehearsal)
    for exchange in () if read is None else read.venue.exchanges:
        yield _checked(exchange.name, partial(_examined, exchange))
    if read is not None and read.book.account is not None:
        yield _checked(f"book of {read.book.account.name}", partial(_account, read))


def _checked(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except (BadInput, ServeError) as error:
        return Check(name, False, str(error))


def _settings(path: Path) -> str:
    config: ServeConfig = configs.load(path)
    ground = basis(config)
    Market(ground.task, config.assets, config.legs, config.stress)
    if ground.model is None:
        return f"{len(config.breakers)} breakers; no model, the analytic hedge of {ground.task.id} decides"
    return (
        f"{len(config.breakers)} breakers; model {ground.model.card.weights_sha256[:12]}, trained on {ground.task.id}"
    )


def _read(path: Path, rehearsal: str | None) -> ServeConfig | None:
    """None where the settings cannot be read, which is told already."""
    try:
        return configs.load(path, rehearsal)
    except BadInput:
        return None


def _account(config: ServeConfig) -> str:
    market = Market(basis(config).task, config.assets, config.legs)
    words: str = import_module("serve.venues.subaccount").examined(config, market)
    return words


def _examined(exchange: ExchangeSettings) -> str:
    words: str = import_module("serve.venues.checking").examined(exchange)  # ccxt comes with it
    return words


def _journal(text: str) -> str:
    """An existing one is verified; of a new one, that a small commit is quick where it will lie."""
    file = file_of(located(text))
    if file is not None and not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        probe = file.with_name(file.name + ".probe")
        try:
            took = _commit(str(probe))
        finally:
            for left in probe.parent.glob(probe.name + "*"):
                left.unlink()
        if took > SLOW:
            raise Unfit(f"a commit beside {file} takes {took} ms; orders wait for commits, so use a faster disk")
        return f"new; a commit takes {took} ms"
    with closing(Journal(text, readonly=True)) as kept:
        return f"{kept.verify():,} entries, all in the chain"


def _commit(text: str) -> int:
    clock = RealClock()
    with closing(Journal(text)) as probe:
        probe.append([b"{}"])
        began = clock.now()
        probe.append([b"{}"])
        return clock.now() - began


def _disk(text: str) -> str:
    file = file_of(located(text))
    if file is None:
        return "the database's own"
    free = shutil.disk_usage(file.parent).free
    if free < ROOM:
        raise Unfit(
            f"{file.parent} has {free / 1e9:.1f} GB free, less than {ROOM / 1e9:g}; a full disk halts the hedger"
        )
    return f"{free / 1e9:.0f} GB free"


def _clock() -> str:
    """Whether the system says that it keeps its clock; the venue's own time is compared while hedging."""
    tool = shutil.which("timedatectl")
    if tool is None:
        return "not known here (no timedatectl); the breaker clock_step compares it with the venue's"
    said = subprocess.run([tool, "show", "--property=NTPSynchronized", "--value"], capture_output=True, text=True)
    if said.stdout.strip() == "no":
        raise Unfit("not synchronised; turn NTP on (`timedatectl set-ntp true`)")
    return "synchronised" if said.stdout.strip() == "yes" else "not known here; clock_step compares it with the venue's"


def _tokens(path: Path) -> str:
    if not tokens.load(path):
        raise Unfit(f"{path}: holds none; add one with `rehedge token add`")
    return "readable by you alone"


def _services(path: Path) -> str:
    Services(path)
    return "every URL is one that Apprise knows"
