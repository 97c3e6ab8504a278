"""The commands `serve` and `replay`, and those that look after journals."""

from __future__ import annotations

import json
import signal
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from envs.types import BadInput
from serve import config as configs
from serve.anchor import parsed
from serve.clock import VirtualClock, parse, show
from serve.commands import Alert, Output
from serve.database import file_of, located
from serve.errors import ServeError
from serve.events import BarClosed, Event
from serve.exposure import profit
from serve.journal import Journal
from serve.promoting import load
from serve.runner import Core, replayed
from serve.session import Source, run
from serve.tally import Tally
from serve.whatif import Change, compared

app = typer.Typer(no_args_is_help=True, add_completion=False)
journal_app = typer.Typer(no_args_is_help=True, help="Look after journals.")
app.add_typer(journal_app, name="journal")

Kept = Annotated[str, typer.Argument(help="SQLite file or database URL of a journal.")]
Anchored = Annotated[
    Path | None, typer.Option(help="File that keeps the head; without it the one beside an SQLite file.")
]
Rehearsed = Annotated[
    str | None, typer.Option("--rehearsal", help="Address of a rehearsal that stands in for the settings' exchange.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, for machines.")]


@app.command()
def serve(
    config: Annotated[Path, typer.Argument(help="TOML settings, such as configs/paper.toml.")],
    journal: Annotated[str, typer.Option(help="SQLite file or database URL; one with entries is taken up again.")],
    feed: Annotated[
        str, typer.Option(help="Bars to replay, or to warm up on, one per asset: btc, eth, or a file; `btc,eth`.")
    ] = "btc",
    first: Annotated[
        str, typer.Option("--from", help="Start of the first bar, UTC; with --follow, the end of the warm-up.")
    ] = "2023-01-01",
    days: Annotated[int, typer.Option(min=1, help="How long to replay.")] = 31,
    speed: Annotated[float | None, typer.Option(min=1, help="Times the wall clock; without it, at full speed.")] = None,
    follow: Annotated[Path | None, typer.Option(help="A CSV file of ticks (time, spot, ...) that grows, live.")] = None,
    market: Annotated[
        Path | None, typer.Option(help="A file of listed volatilities and other sources' prices, JSON lines.")
    ] = None,
    funding: Annotated[
        str, typer.Option(help='Recorded funding, one per asset: btc, or a file; "": the calibrated mean.')
    ] = "",
    rehearsal: Rehearsed = None,
    anchor: Anchored = None,
    as_json: AsJson = False,
) -> None:
    """Hedge: on paper, by quotes that are replayed or followed, or on the exchange that the settings name.

    Example: rehedge serve configs/paper.toml --journal runs/paper.db --from 2023-03-01 --days 31
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stop like Ctrl-C
    with exits():
        settings = configs.load(config, rehearsal)
        paid = tuple(filter(None, funding.split(",")))
        begin = time_of(first, "--from")
        source = Source(tuple(feed.split(",")), begin, days, speed, follow, market=market, funding=paid)
        tally, kept = Tally(), _made(journal, anchor)
        try:
            core = _watched(lambda told: run(settings, kept, source, told), tally, quiet=as_json)
            _report(tally, core, kept, as_json)
        finally:
            kept.close()


@app.command()
def replay(
    journal: Kept,
    config: Annotated[
        Path | None, typer.Option(help="Other settings: where would they have decided otherwise?")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Another model's folder, likewise.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run a journal's events through the core again, and compare every decision and order byte for byte.

    With other settings or another model: list the recorded decisions that these would have made otherwise.

    Example: rehedge replay runs/paper.db --config tighter.toml
    """
    with exits():
        kept, tally = Journal(journal, readonly=True), Tally()
        try:
            if config is None and model is None:
                core, _ = replayed(kept, tally.told)
                _report(tally, core, kept, as_json, note="Replayed: every output is the same, byte for byte.")
            else:
                _otherwise(kept, config, model, as_json)
        finally:
            kept.close()


@journal_app.command()
def verify(
    journal: Kept,
    head: Annotated[str, typer.Option(help="Chain value noted earlier, as NUMBER:HEX: a cut tail shows only so.")] = "",
    anchor: Anchored = None,
    as_json: AsJson = False,
) -> None:
    """Check a journal's hash chain over the stored bytes.

    Example: rehedge journal verify runs/paper.db
    """
    with exits(), closing(Journal(journal, readonly=True, anchor=anchor)) as kept:
        count = kept.verify(parsed(head, f"--head {head}") if head else None)
        number, chain = kept.head
        plain = f"{count:,} entries, all in the chain; head {number}:{chain}"
        typer.echo(json.dumps({"entries": count, "head": f"{number}:{chain}"}) if as_json else plain)


@journal_app.command("show")
def show_entries(
    journal: Kept,
    first: Annotated[int, typer.Option(min=1, help="Number of the first entry.")] = 1,
    last: Annotated[int | None, typer.Option(min=1, help="Show no more than this many, the latest.")] = None,
    kind: Annotated[str, typer.Option(help="Only these, such as Filled or Decision.")] = "",
    as_json: AsJson = False,
) -> None:
    """List a journal's entries, one a line.

    Example: rehedge journal show runs/paper.db --kind Filled --last 20
    """
    with exits(), closing(Journal(journal, readonly=True)) as kept:
        entries = ((entry.sequence, json.loads(entry.body)) for entry in kept.read(first - 1))
        found = ((number, body) for number, body in entries if kind in ("", body["type"]))
        for number, body in found if last is None else deque(found, maxlen=last):
            typer.echo(json.dumps({"entry": number, **body}) if as_json else _line(number, body))


@journal_app.command()
def upgrade(journal: Kept) -> None:
    """Bring the schema of a journal of an earlier version up to date, as `serve` does when it takes one up.

    Example: rehedge journal upgrade runs/paper.db
    """
    with exits():
        file = file_of(located(journal))
        if file is not None and not file.exists():
            raise BadInput(f"{file}: no such journal; give the path of one that `rehedge serve` wrote")
        with closing(Journal(journal)) as kept:
            typer.echo(f"{kept.head[0]:,} entries, schema up to date")


@contextmanager
def exits() -> Iterator[None]:
    """Bad input leaves by 2 and a failure by 1, each with one line on standard error."""
    try:
        yield
    except BadInput as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    except ServeError as error:
        typer.echo(f"failed: {error}", err=True)
        raise typer.Exit(1) from None


def _watched(session: Callable[[Any], Core], tally: Tally, quiet: bool) -> Core:
    """The session, with a status line and its alerts while it lasts."""
    console = Console(stderr=True)
    if quiet:
        return session(tally.told)
    with Live(console=console, refresh_per_second=4, transient=True) as live:

        def told(event: Event, outputs: tuple[Output, ...]) -> None:
            tally.told(event, outputs)
            for output in outputs:
                if isinstance(output, Alert):
                    console.print(f"{show(output.time)}  {output.text}", markup=False, soft_wrap=True)
            if isinstance(event, BarClosed):
                live.update(_status(event, tally))

        return session(told)


def _status(event: Event, tally: Tally) -> Text:
    state = tally.transitions[-1].state if tally.transitions else "ACTIVE"
    counts = tally.counts
    return Text(
        f"{show(event.time)}  {state}  {counts['orders']} orders, {counts['fills']} fills, {counts['quotes']} quotes"
    )


def _report(tally: Tally, core: Core, kept: Journal, as_json: bool, note: str = "") -> None:
    state, (number, chain) = core.state, kept.head
    if state is None:
        raise BadInput(f"{kept.url}: the journal is empty; give one that `rehedge serve` wrote")
    if as_json:
        positions = {symbol: str(account.position) for symbol, account in state.ledger.accounts.items()}
        facts = {"state": state.risk.name, "positions": positions, "profit": profit(state)}
        trips = [vars(each) for each in tally.transitions]
        typer.echo(json.dumps({**facts, **tally.counts, "transitions": trips, "entries": number, "head": chain}))
        return
    for line in [
        *tally.words(state),
        f"Journal: {number:,} entries, head {number}:{chain}.",
        note,
    ]:
        if line:
            typer.echo(line)


def _otherwise(kept: Journal, config: Path | None, model: Path | None, as_json: bool) -> None:
    change = Change(None if config is None else configs.load(config), None if model is None else load(model).network)
    count, found = compared(kept, change, VirtualClock())
    if as_json:
        typer.echo(json.dumps({"decisions": count, "otherwise": [vars(each) for each in found]}))
        return
    for each in found:
        typer.echo(f"{show(each.time)} decision {each.decision}: {each.recorded}")
        typer.echo(f"{'':>19} otherwise: {each.other}")
    typer.echo(f"{len(found):,} of {count:,} decisions would have been others.")


def _made(url: str, anchor: Path | None) -> Journal:
    file = file_of(located(url))
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    return Journal(url, anchor=anchor)


def _line(number: int, body: dict[str, Any]) -> str:
    """Its number, time and kind, and then its fields, each no longer than a glance takes."""
    time, kind = body.pop("time"), body.pop("type")
    fields = " ".join(f"{name}={value!s:.60}" for name, value in body.items())
    return f"{number:>8}  {show(time)}  {kind}  {fields}"


def time_of(text: str, option: str) -> int:
    """Raises BadInput for what is no time."""
    try:
        return parse(text)
    except ValueError:
        raise BadInput(f"{option} {text}: not a time; write it as 2023-01-01 or 2023-01-01T00:00:00Z") from None
