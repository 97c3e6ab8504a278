"""The commands `status` and `logs`: how a hedger stands and what it does, by its journal or by its API."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.live import Live

from serve import codec
from serve.api.following import caught_up
from serve.api.screen import screen
from serve.api.stream import Broadcast, Line, Picture, line
from serve.cli import AsJson, exits
from serve.clock import SECOND, RealClock, show
from serve.journal import Journal
from serve.mirror import Kept, Record
from serve.operating import Hedger, TokenFile
from serve.remote import Remote, RemoteError, is_address
from serve.standing import standing

LOOK = SECOND  # between looks
Watch = Annotated[bool, typer.Option("--watch", help="Keep on showing it until Ctrl-C.")]
Follow = Annotated[bool, typer.Option("--follow/--no-follow", help="Wait for more until Ctrl-C.")]
Last = Annotated[int, typer.Option(min=0, help="Begin with so many of what was before.")]


def status(hedger: Hedger, watch: Watch = False, token: TokenFile = None, as_json: AsJson = False) -> None:
    """How a hedger stands: state, breakers, positions, and, by an address or watched, greeks, limits and profit too.

    Example: rehedge status https://hedger:8470 --watch
    """
    with exits():
        if watch:
            _watch(hedger, token)
        elif is_address(hedger):
            found = _picture(Remote(hedger, token))
            if as_json:
                typer.echo(found.model_dump_json())
            else:
                Console().print(screen(found, RealClock().now()))
        else:
            with closing(Journal(hedger, readonly=True)) as kept, closing(kept.inbox()) as inbox:
                stands = standing(kept, inbox)
                typer.echo(json.dumps(stands.facts()) if as_json else "\n".join(stands.words()))


def logs(
    hedger: Hedger, last: Last = 20, follow: Follow = True, token: TokenFile = None, as_json: AsJson = False
) -> None:
    """What a hedger did and does, a line each: decisions and why, fills, denials, breakers, alerts.

    Example: rehedge logs runs/paper.db --last 50 --no-follow
    """
    with exits():
        found = (
            _by_api(Remote(hedger, token), last, follow) if is_address(hedger) else _by_journal(hedger, last, follow)
        )
        try:
            for each in found:
                typer.echo(each.model_dump_json() if as_json else f"{show(each.time)}  {each.text}")
        except KeyboardInterrupt:
            pass


def _watch(hedger: str, token: Path | None) -> None:
    clock = RealClock()
    with _looks(hedger, token) as look, Live(console=Console(), auto_refresh=False, screen=True) as live:
        try:
            while True:
                live.update(screen(look(), clock.now()), refresh=True)
                clock.wait_until(clock.now() + LOOK)
        except KeyboardInterrupt:
            pass


@contextmanager
def _looks(hedger: str, token: Path | None) -> Iterator[Callable[[], Picture]]:
    if is_address(hedger):
        remote = Remote(hedger, token)
        yield _believed(remote, _picture(remote))
        return
    with closing(Journal(hedger, readonly=True)) as kept, closing(kept.inbox()) as inbox:
        broadcast = Broadcast(caught_up(kept), inbox, RealClock())

        def look() -> Picture:
            broadcast.look()
            return broadcast.shown().picture

        yield look


def _believed(remote: Remote, first: Picture) -> Callable[[], Picture]:
    """The picture of now, or the last one with the fault that keeps from a newer one."""
    shown = first

    def look() -> Picture:
        nonlocal shown
        try:
            shown = _picture(remote)
        except RemoteError as error:
            shown = shown.model_copy(update={"fault": str(error)})
        return shown

    return look


def _picture(remote: Remote) -> Picture:
    return _validated(remote.read("/v1/state"))


def _validated(found: object) -> Picture:
    try:
        return Picture.model_validate(found)
    except ValidationError:
        raise RemoteError("the dashboard answers as another version would; use one version at both ends") from None


def _by_api(remote: Remote, last: int, follow: bool) -> Iterator[Line]:
    story = _picture(remote).story
    seen = story[-1].number if story else 0
    yield from story[max(0, len(story) - last) :]
    for found in remote.events("/v1/stream") if follow else ():
        fresh = [each for each in _validated(found).story if each.number > seen]
        seen = fresh[-1].number if fresh else seen
        yield from fresh


def _by_journal(journal: str, last: int, follow: bool) -> Iterator[Line]:
    clock = RealClock()
    with closing(Journal(journal, readonly=True)) as kept:
        tail = _Tail(kept)
        yield from deque(tail.new(), maxlen=last)
        while follow:
            yield from tail.new()
            clock.wait_until(clock.now() + LOOK)


class _Tail:
    def __init__(self, journal: Journal) -> None:
        self._journal, self._entries = journal, 0

    def new(self) -> Iterator[Line]:
        """What was recorded since the last time."""
        for entry in self._journal.read(self._entries):
            self._entries = entry.sequence
            item = codec.decode(entry.body)
            if isinstance(item, Record):
                yield line(Kept(entry.sequence, item))
