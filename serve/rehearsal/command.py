"""The command `rehearse`."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import asdict
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated

import typer
from rich.progress import Progress

from envs.types import BadInput
from serve import config as configs
from serve.cli import AsJson, exits, time_of
from serve.clock import DAY
from serve.rehearsal import faults, protocols
from serve.rehearsal.plan import PORT, Plan
from serve.rehearsal.rehearsing import Rehearsal, Verdict, kills
from serve.rehearsal.server import Server, opened
from serve.venues.settings import ExchangeSettings


def rehearse(
    config: Annotated[Path, typer.Argument(help="TOML settings of an exchange, such as configs/deribit.toml.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the market's chance, of the faults and of the kills.")] = 0,
    days: Annotated[int, typer.Option(min=1, help="How long, by the exchange's clock.")] = 1,
    first: Annotated[str, typer.Option("--from", help="Whose prices: a whole hour of the data, UTC.")] = "2022-06-01",
    which: Annotated[
        str, typer.Option("--faults", help="all, none, or names between commas: " + ", ".join(faults.KINDS))
    ] = "all",
    protocol: Annotated[
        str | None, typer.Option(help="Another exchange's protocol than the settings': " + ", ".join(protocols.names()))
    ] = None,
    kill: Annotated[int, typer.Option(min=0, help="How often a process is killed: hedger, exchange, both.")] = 0,
    folder: Annotated[Path | None, typer.Option(help="Where journal, records and logs go; else a new one.")] = None,
    serve_only: Annotated[
        bool, typer.Option("--serve-only", help="Only the exchange, for a hedger started by hand; until Ctrl-C.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the exchange; 0: any that is free.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Run your settings on an exchange of your own that misbehaves, and see whether everything adds up.

    No key of yours is read, and nothing leaves this machine. Exit code 1 where something did not add up.

    Example: rehedge rehearse configs/deribit.toml --days 1 --kill 3
    """
    with exits():
        place = Path(mkdtemp(prefix="rehearsal-")) if folder is None else folder
        place.mkdir(parents=True, exist_ok=True)
        config = _spoken(config, protocol, place)
        plan = _plan(config, place, time_of(first, "--from"), days, seed, faults.chosen(which))
        if serve_only:
            _served(plan, port)
            return
        with Progress(disable=as_json) as bar:
            task = bar.add_task(f"{plan.protocol}, {days} d", total=days * DAY)
            told = Rehearsal(
                config, plan, kills(kill, plan), lambda now: bar.update(task, completed=now - plan.first)
            ).run()
        _report(told, place, as_json)
        if told.violations:
            raise typer.Exit(1)


def _plan(config: Path, place: Path, first: int, days: int, seed: int, which: tuple[str, ...]) -> Plan:
    settings = configs.load(config)
    if not isinstance(settings.venue, ExchangeSettings):
        raise BadInput(f"{config}: venue.name is {settings.venue.name}; a rehearsal is of an exchange's settings")
    if settings.venue.name not in protocols.names():
        raise BadInput(f"{config}: no protocol of {settings.venue.name}; have {', '.join(protocols.names())}")
    assets = tuple(asset.name for asset in settings.assets)
    return Plan(place, assets, settings.venue.name, first, days, seed, which)


def _spoken(config: Path, protocol: str | None, place: Path) -> Path:
    """The settings with another exchange's name, in a file of their own."""
    if protocol is None or not config.exists():
        return config
    text = config.read_text()
    changed, count = re.subn(r'(\[venue\][^\[]*?\nname = )"[a-z_]+"', rf'\1"{protocol}"', text, count=1)
    if count == 0:
        raise BadInput(f"{config}: [venue] has no name that --protocol could take the place of")
    if changed == text:
        return config
    other = place / f"{protocol}.toml"
    other.write_text(changed)
    return other


def _served(plan: Plan, port: int) -> None:
    with plan.opened() as server:
        try:
            asyncio.run(_serving(server, plan, port))
        except KeyboardInterrupt:
            return


async def _serving(server: Server, plan: Plan, port: int) -> None:
    """The port is written to the folder once it answers."""
    runner, found = await opened(server, port)
    (plan.folder / PORT).write_text(str(found))
    typer.echo(f"http://127.0.0.1:{found}  speaks {', '.join(protocols.names())}; kept in {plan.folder}")
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def _report(told: Verdict, place: Path, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(told) | {"folder": str(place)}))
        return
    typer.echo(f"{told.orders} orders, {told.fills} fills; killed {told.restarts} times; it ends {told.state}.")
    for kind, count in told.faults.items():
        typer.echo(f"  {count:>4} x {kind}: {faults.KINDS[kind].what}")
    typer.echo("\n".join(told.violations) or "Everything adds up: no order lost, doubled or left, every limit held.")
    typer.echo(f"Journal, records and logs: {place}")
