"""A journal read from its beginning, with a bar of progress while that takes."""

from __future__ import annotations

from rich.console import Console
from rich.progress import Progress

from serve.api.stream import AT_ONCE
from serve.journal import Journal
from serve.mirror import Mirror


def caught_up(journal: Journal) -> Mirror:
    """With everything that is in the journal so far. Raises JournalError."""
    mirror = Mirror(journal)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading the journal", total=journal.head[0])
        while mirror.entries < journal.head[0]:
            mirror.advance(AT_ONCE)
            progress.update(task, completed=mirror.entries)
    return mirror
