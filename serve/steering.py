"""The commands that tell a running hedger what it hedges: the book, its target, the collateral."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from envs.types import BadInput
from serve.bookfile import told_in
from serve.cli import AsJson, exits
from serve.clock import SECOND, RealClock
from serve.events import CollateralMoved, TargetSet
from serve.instructions import OUTSIDE
from serve.operating import Hedger, NotTaken, TokenFile, Wait, Who, Why, answered, named, tell


def book(
    hedger: Hedger,
    changes: Annotated[Path, typer.Argument(help="File of changes, one JSON object a line, as book.path takes them.")],
    why: Annotated[str, typer.Option(help="The reason, which is kept in the journal.")] = "",
    who: Who = "",
    wait: Wait = 5.0,
    token: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell what was traded, settled or funded in the book to be hedged, in the order of the file.

    Nothing is told where a line is malformed. A trade that bears an id counts once, so a file may be told again.

    Example: rehedge book runs/live.db trades.jsonl --why "block of this morning"
    """
    with exits():
        name, answers = named(who, hedger), list[tuple[str, str | None]]()
        for told in told_in(changes, RealClock().now(), name, why):
            answers.append(answered(hedger, told, wait, token))
        if as_json:
            typer.echo(json.dumps([{"id": one, "answer": answer} for one, answer in answers]))
        missed = [(line, answer) for line, (_, answer) in enumerate(answers, 1) if answer != "taken"]
        if missed:
            line, answer = missed[0]
            words = answer or "recorded; no hedger has taken it yet, see that one runs"
            raise NotTaken(f"{changes}: {len(missed)} of {len(answers)} changes not taken; change {line}: {words}")
        if not as_json:
            typer.echo(f"{changes}: {len(answers)} taken")


def target(
    hedger: Hedger,
    asset: Annotated[str, typer.Argument(help="As the settings name it.")],
    why: Why,
    delta: Annotated[float | None, typer.Option(help="Net, base units.")] = None,
    gamma: Annotated[float | None, typer.Option(help="Net, base units per 1 % of spot.")] = None,
    vega: Annotated[float | None, typer.Option(help="Net, quote currency per volatility point.")] = None,
    hedge_ratio: Annotated[float | None, typer.Option(help="Of the book's greeks that is hedged, 0 to 1.5.")] = None,
    above: Annotated[
        float | None, typer.Option(help="Base units that delta may exceed its target by, untraded.")
    ] = None,
    below: Annotated[float | None, typer.Option(help="Base units that it may fall short by.")] = None,
    who: Who = "",
    wait: Wait = 5.0,
    token: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Steer one asset's book and hedges together to other greeks, from here on; what is not named stays as it is.

    Example: rehedge target runs/paper.db BTC --delta 2 --why mandate
    """
    with exits():
        if all(each is None for each in (delta, gamma, vega, hedge_ratio, above, below)):
            raise BadInput(
                f"target {asset}: name what changes: --delta, --gamma, --vega, --hedge-ratio, --above, --below"
            )
        now, name = RealClock().now(), named(who, hedger)
        told = TargetSet(now, asset, delta, gamma, vega, hedge_ratio, above, below, name, why)
        tell(hedger, told, f"target {asset}", wait, token, as_json)


def transfer(
    hedger: Hedger,
    account: Annotated[str, typer.Argument(help="The margin account that it goes to, as the proposal names it.")],
    amount: Annotated[str, typer.Argument(help="Quote currency.")],
    why: Why,
    source: Annotated[str, typer.Option("--from", help="Another margin account, or what is none of ours.")] = OUTSIDE,
    minutes: Annotated[float, typer.Option(min=0, help="Until the venue should count it.")] = 60.0,
    who: Who = "",
    wait: Wait = 5.0,
    token: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Record collateral that you have sent to a margin account: the hedger moves none itself.

    Example: rehedge transfer runs/paper.db BTC-PERP 25000 --why "the proposal of this morning"
    """
    with exits():
        now, name = RealClock().now(), named(who, hedger)
        expected = now + round(minutes * 60 * SECOND)
        told = CollateralMoved(now, account, _money(amount), source, expected, name, why)
        tell(hedger, told, f"transfer of {amount} to {account}", wait, token, as_json)


def _money(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(0)
    if not (amount.is_finite() and amount > 0):
        raise BadInput(f"amount {text!r} is no sum of money; give one above 0, such as 25000")
    return amount
