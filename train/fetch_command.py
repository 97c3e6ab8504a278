"""The command `fetch`."""

from __future__ import annotations

import json as encoding
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from envs.types import BadInput
from train.fetch import Fetched, fetched
from train.history import utc
from train.venue_history import Failed, Request, VenueHistory

SHOWN = 10  # gaps
console = Console(stderr=True)


class What(StrEnum):
    BARS = "bars"
    FUNDING = "funding"


def command(
    exchange: Annotated[str, typer.Argument(help="ccxt's name of it: deribit, okx, binanceusdm, hyperliquid, ...")],
    symbol: Annotated[str, typer.Argument(help="ccxt's name of it, such as BTC/USDC:USDC, a perpetual, or BTC/USDC.")],
    out: Annotated[Path, typer.Option(help="Where to write, .csv: what --data, --feed and --funding read.")],
    first: Annotated[str, typer.Option("--from", help="Where it begins, UTC.")],
    last: Annotated[str, typer.Option("--to", help="Up to where, UTC.")],
    what: Annotated[What, typer.Option(help="Bars of prices, or daily funding.")] = What.BARS,
    bars: Annotated[str, typer.Option(help="Length of a bar.")] = "1h",
    address: Annotated[
        str | None, typer.Option(help="http://host:port in place of the exchange's own: rehedge rehearse, say.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output, for machines.")] = False,
) -> None:
    """Download prices or funding from an exchange; stopped or killed, the same command goes on where it was.

    Exit code 1: the exchange could not be asked, or its answer not be read.

    Example: rehedge fetch deribit BTC/USDC:USDC --from 2025-01-01 --to 2025-07-01 --out data/btc.csv
    """
    if out.suffix != ".csv":
        raise BadInput(f"--out {out}: its name must end in .csv")
    times = [round(utc(time).timestamp() * 1000) for time in (first, last)]
    if times[0] >= times[1]:
        raise BadInput(f"--from {first} is not before --to {last}; exchange the two")
    request = Request(exchange, symbol, what.value, bars, *times)
    try:
        with Progress(console=console, disable=json) as progress:
            task = progress.add_task(f"{exchange} {symbol}", total=1.0)
            found = fetched(
                request,
                lambda: VenueHistory(request, address),
                out,
                lambda share: progress.update(task, completed=share),
            )
    except Failed as error:
        console.print(f"rehedge: {error}; what came is kept: give the same command again to go on", soft_wrap=True)
        raise typer.Exit(1) from None
    print(encoding.dumps(_plain(found)) if json else _words(found, what))


def _plain(found: Fetched) -> dict[str, object]:
    gaps = [{"time": str(gap.time), "detail": gap.detail} for gap in found.gaps]
    return {**asdict(found), "gaps": gaps}


def _words(found: Fetched, what: What) -> str:
    rows = "bars" if what is What.BARS else "days"
    lines = [f"{found.out}: {found.rows:,} {rows}, {found.first} to {found.last}"]
    if found.missing:
        lines.append(f"{found.missing:,} {rows} of the time asked for are missing")
    lines += [f"gap before {gap.time}: {gap.detail}" for gap in found.gaps[:SHOWN]]
    if (more := len(found.gaps) - SHOWN) > 0:
        lines.append(f"and {more} more gaps")
    if found.duplicates:
        lines.append(f"{found.duplicates:,} rows came twice and are dropped")
    return "\n".join(lines)
