"""The command `watchdog`: a process beside the hedger that pages a person, and fences one that has fallen silent."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol

import apprise
import typer
from apprise import NotifyType
from rich.console import Console

from envs.calibration import read_toml, validated
from envs.types import BadInput
from serve import codec
from serve.cli import Kept, exits
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

    def look(self) -> None:
        """What is new is told, and a silence that lasts ends in a halt that the hedger meets when it wakes."""
        now = self.clock.now()
        try:
            items = []
            for entry in self.journal.read(self.entries):
                self.entries = entry.sequence
                items.append(codec.decode(entry.body))
            if items:
                self.grew_at, self.fenced = now, False
            self.pager.heard(items, now)
        except ServeError as error:
            console.print(f"{error}", markup=False)  # no word from the journal is silence
        silent = now - self.grew_at
        self.pager.silence(silent, now)
        if silent >= self.pager.rules.fence_seconds * SECOND and not self.fenced:
            self._fence(now)
        for message in self.pager.due(now):
            if self.sender.send(message):
                self.pager.told(message, now)
                console.print(f"{message.severity.name.lower()}: {message.text}", markup=False)
            else:
                console.print(f"could not be sent, and will be tried again: {message.text}", markup=False)

    def _fence(self, now: int) -> None:
        try:
            self.inbox.tell(Operator(now, "halt", NAME, f"silent for {(now - self.grew_at) // SECOND} s", ""))
            self.fenced = True
        except ServeError as error:
            console.print(f"could not be fenced, and will be tried again: {error}", markup=False)


def command(
    journal: Kept,
    config: Annotated[Path, typer.Option(help="When to speak.")] = Path("configs/watchdog.toml"),
    services: Annotated[
        Path, typer.Option(help="File with an Apprise URL a line, of mode 600: who is told, and how.")
    ] = Path("runs/alerts.urls"),
) -> None:
    """Page a person about what happens to a hedger, and halt it where it has fallen silent.

    Example: rehedge watchdog runs/paper.db --services runs/alerts.urls
    """
    with exits():
        pager, sender, clock = Pager(validated(Rules, read_toml(config), str(config))), Services(services), RealClock()
        with closing(Journal(journal, readonly=True)) as kept, closing(kept.inbox()) as inbox:
            dog = Watchdog(kept, inbox, pager, sender, clock, entries=kept.head[0], grew_at=clock.now())
            console.print(f"watching {kept.url} from entry {dog.entries:,} on; Ctrl-C ends it")
            try:
                while True:
                    dog.look()
                    clock.wait_until(clock.now() + LOOK)
            except KeyboardInterrupt:
                console.print("watches no more")
