"""The command `watchdog`: a process beside the hedger that pages a person, and fences one that has fallen silent."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Protocol

import apprise
import typer
from apprise import NotifyType
from rich.console import Console

from envs.calibration import read_toml, validated
from envs.types import BadInput
from serve import codec
from serve import config as configs
from serve.cli import Kept, Rehearsed, exits
from serve.clock import SECOND, Clock, RealClock
from serve.errors import ServeError
from serve.events import Operator
from serve.inbox import Inbox
from serve.journal import Journal
from serve.paging import Message, Pager, Rules, Severity
from serve.private import text_of

LOOK = SECOND  # between looks at the journal
NAME = "watchdog"
KINDS = {Severity.INFO: NotifyType.INFO, Severity.WARNING: NotifyType.WARNING, Severity.CRITICAL: NotifyType.FAILURE}
console = Console(stderr=True)


class Sender(Protocol):
    def send(self, message: Message) -> bool:
        """Whether it reached somebody."""
        ...


class Connection(Protocol):
    """To an exchange."""

    def cancel(self) -> int:
        """What rests of the hedger's orders; how many there were. Raises ServeError."""
        ...

    def close(self) -> None: ...


class Services:
    """Mail, Telegram, Slack, a webhook and whatever else Apprise knows, by URL."""

    def __init__(self, file: Path) -> None:
        """`file`: a URL a line, readable by its owner alone, as passwords stand in them. Raises BadInput."""
        self._services = apprise.Apprise()
        lines = text_of(file, "write an Apprise URL a line").splitlines()
        for number, line in enumerate(map(str.strip, lines), 1):
            if line and not line.startswith("#") and not self._services.add(line):
                raise BadInput(f"{file}, line {number}: no URL of a service that Apprise knows; see its list")
        if not len(self._services):
            raise BadInput(f"{file}: names nobody; write a URL, such as mailto://user:password@host, in a line")

    def send(self, message: Message) -> bool:
        title = f"Rehedge {message.severity.name.lower()}"
        return bool(self._services.notify(message.text, title, KINDS[message.severity]))


@dataclass
class Watchdog:
    journal: Journal
    inbox: Inbox
    pager: Pager
    sender: Sender
    clock: Clock
    entries: int = 0  # of the journal, that it has heard
    grew_at: int = 0
    fenced: bool = False
    connections: Sequence[Connection] = ()  # of its own, to where the hedger trades
    quiet: bool = True  # nothing of a fenced hedger's rests

    def look(self) -> None:
        """What is new is told, and a silence that lasts ends in a halt that the hedger meets when it wakes."""
        now = self.clock.now()
        try:
            items = []
            for entry in self.journal.read(self.entries):
                self.entries = entry.sequence
                items.append(codec.decode(entry.body))
            if items:
                self.grew_at, self.fenced, self.quiet = now, False, True
            self.pager.heard(items, now)
        except ServeError as error:
            console.print(f"{error}", markup=False)  # no word from the journal is silence
        silent = now - self.grew_at
        self.pager.silence(silent, now)
        if silent >= self.pager.rules.fence_seconds * SECOND and not self.fenced:
            self._fence(now)
        if not self.quiet:
            self._withdraw()
        for message in self.pager.due(now):
            if self.sender.send(message):
                self.pager.told(message, now)
                console.print(f"{message.severity.name.lower()}: {message.text}", markup=False)
            else:
                console.print(f"could not be sent, and will be tried again: {message.text}", markup=False)

    def _fence(self, now: int) -> None:
        try:
            self.inbox.tell(Operator(now, "halt", NAME, f"silent for {(now - self.grew_at) // SECOND} s", ""))
            self.fenced, self.quiet = True, False
        except ServeError as error:
            console.print(f"could not be fenced, and will be tried again: {error}", markup=False)

    def _withdraw(self) -> None:
        """What rests of a hedger that may send nothing more, until a look finds nothing anywhere."""
        self.quiet = True
        for each in self.connections:
            try:
                found = each.cancel()
                self.quiet &= found == 0
                if found:
                    console.print(f"{found} orders of the silent hedger are cancelled", markup=False)
            except ServeError as error:
                self.quiet = False
                console.print(f"could not be cancelled, and will be tried again: {error}", markup=False)


def command(
    journal: Kept,
    config: Annotated[Path, typer.Option(help="When to speak.")] = Path("configs/watchdog.toml"),
    services: Annotated[
        Path, typer.Option(help="File with an Apprise URL a line, of mode 600: who is told, and how.")
    ] = Path("runs/alerts.urls"),
    hedger: Annotated[
        Path | None, typer.Option(help="The hedger's settings: its orders are cancelled where it has fallen silent.")
    ] = None,
    rehearsal: Rehearsed = None,
) -> None:
    """Page a person about what happens to a hedger, and halt it where it has fallen silent.

    With the hedger's settings it has a connection of its own to the exchange, and cancels what the hedger left there.

    Example: rehedge watchdog runs/live.db --services runs/alerts.urls --hedger configs/deribit.toml
    """
    with exits(), ExitStack() as open_ones:
        connections = [] if hedger is None else _connected(hedger, rehearsal)
        for each in connections:
            open_ones.callback(each.close)
        pager, sender, clock = Pager(validated(Rules, read_toml(config), str(config))), Services(services), RealClock()
        with closing(Journal(journal, readonly=True)) as kept, closing(kept.inbox()) as inbox:
            dog = Watchdog(
                kept, inbox, pager, sender, clock, entries=kept.head[0], grew_at=clock.now(), connections=connections
            )
            console.print(f"watching {kept.url} from entry {dog.entries:,} on; Ctrl-C ends it")
            try:
                while True:
                    dog.look()
                    clock.wait_until(clock.now() + LOOK)
            except KeyboardInterrupt:
                console.print("watches no more")


def _connected(path: Path, rehearsal: str | None) -> list[Connection]:
    """To every exchange that the hedger trades on. Raises BadInput or ServeError."""
    config = configs.load(path, rehearsal)
    made = import_module("serve.venues.checking")  # ccxt comes with it
    return [made.Canceller(each, config.name) for each in config.venue.exchanges]
