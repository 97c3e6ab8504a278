"""The commands by which a person acts on a running hedger, beside its journal or by its API; and the assessment."""

from __future__ import annotations

import getpass
import json
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

import typer

from envs.types import BadInput
from serve.assessing import assessed
from serve.assessment import gaps, page
from serve.cli import AsJson, Kept, exits, time_of
from serve.clock import SECOND, RealClock
from serve.errors import InboxError, ServeError
from serve.events import Operator
from serve.inbox import Inbox, Instruction
from serve.journal import Journal
from serve.remote import Remote, is_address

LOOK = SECOND // 10  # between looks for an answer
FOREVER = 2**62
Action = Literal["halt", "fallback", "resume", "acknowledge", "override", "flatten", "rollback", "promote"]
Hedger = Annotated[
    str,
    typer.Argument(
        envvar="REHEDGE_HEDGER",
        help="SQLite file or database URL of its journal, or the address of its dashboard (https://host:8470).",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", envvar="REHEDGE_TOKEN_FILE", help="By an address: your token in a file of mode 600."),
]
Why = Annotated[str, typer.Option(help="The reason, which is kept in the journal.")]
Who = Annotated[str, typer.Option(help="Who acts; without it, the user who is logged in.")]
Wait = Annotated[float, typer.Option(min=0, help="Seconds to wait until a running hedger has taken it.")]


class NotTaken(ServeError):
    """Recorded, and nobody has answered yet, or the hedger refused."""


def halt(
    hedger: Hedger, why: Why, who: Who = "", wait: Wait = 5.0, token: TokenFile = None, as_json: AsJson = False
) -> None:
    """Stop: cancel every order and send none. It holds from the moment it is recorded, and over restarts.

    Example: rehedge halt runs/paper.db --why "exchange under maintenance"
    """
    _operate(hedger, "halt", "", who, why, wait, token, as_json)


def fallback(
    hedger: Hedger, why: Why, who: Who = "", wait: Wait = 5.0, token: TokenFile = None, as_json: AsJson = False
) -> None:
    """Let the analytic hedge decide in place of the policy, until somebody resumes.

    Example: rehedge fallback runs/paper.db --why "the policy trades more than it should"
    """
    _operate(hedger, "fallback", "", who, why, wait, token, as_json)


def resume(
    hedger: Hedger, why: Why, who: Who = "", wait: Wait = 5.0, token: TokenFile = None, as_json: AsJson = False
) -> None:
    """Leave a halt in two steps: the first resume lets only orders through that shrink risk, the second all.

    Example: rehedge resume runs/paper.db --why "exchange is back"
    """
    _operate(hedger, "resume", "", who, why, wait, token, as_json)


def flatten(
    hedger: Hedger,
    why: Why,
    close: Annotated[bool, typer.Option(help="Unwind every leg, and halt, rather than neutralise.")] = False,
    who: Who = "",
    wait: Wait = 5.0,
    token: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Neutralise the book at once, within the limits and in any state, and confirm it with the venue.

    Example: rehedge flatten runs/paper.db --close --why "end of the mandate"
    """
    _operate(hedger, "flatten", "close" if close else "", who, why, wait, token, as_json)


def acknowledge(
    hedger: Hedger,
    breaker: Annotated[str, typer.Argument(help="Name, as `rehedge status` shows it.")],
    why: Why,
    who: Who = "",
    wait: Wait = 5.0,
    token: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Release the latch of a breaker that waits for a person.

    Example: rehedge acknowledge runs/paper.db price_jump --why "seen, a real move"
    """
    _operate(hedger, "acknowledge", breaker, who, why, wait, token, as_json)


def override(
    hedger: Hedger,
    limit: Annotated[str, typer.Argument(help="Such as delta:BTC, order:BTC-PERP or notional.")],
    why: Why,
    who: Who = "",
    wait: Wait = 5.0,
    token: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Lift a soft limit up to its hard one, for as long as the settings say.

    Example: rehedge override runs/paper.db delta:BTC --why "expiry week"
    """
    _operate(hedger, "override", limit, who, why, wait, token, as_json)


def promote(
    hedger: Hedger,
    model: Annotated[Path, typer.Argument(help="The model's folder, where the hedger finds it too.")],
    why: Why,
    who: Who = "",
    wait: Wait = 30.0,
    token: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Let another model decide from the next decision on; the one before it is kept for `rollback`.

    Example: rehedge promote runs/paper.db models/short_call_2 --why "beat the old one in shadow"
    """
    _operate(hedger, "promote", str(model if is_address(hedger) else model.resolve()), who, why, wait, token, as_json)


def rollback(
    hedger: Hedger, why: Why, who: Who = "", wait: Wait = 5.0, token: TokenFile = None, as_json: AsJson = False
) -> None:
    """Let the model before the last promotion decide again.

    Example: rehedge rollback runs/paper.db --why "trades more than it should"
    """
    _operate(hedger, "rollback", "", who, why, wait, token, as_json)


def assess(
    journal: Kept,
    first: Annotated[str, typer.Option("--from", help="Start of the period, UTC; without it, the journal's.")] = "",
    last: Annotated[str, typer.Option("--to", help="End of the period, UTC; without it, the journal's.")] = "",
    out: Annotated[Path | None, typer.Option(help="File for the page; without it, standard output.")] = None,
    as_json: AsJson = False,
) -> None:
    """The yearly self-assessment's facts: what the journal says of every control, for persons to judge and sign.

    Example: rehedge assess runs/paper.db --from 2026-01-01 --to 2027-01-01 --out assessment.md
    """
    with exits(), closing(Journal(journal, readonly=True)) as kept:
        facts = assessed(kept, time_of(first, "--from") if first else 0, time_of(last, "--to") if last else FOREVER)
        number, chain = kept.head
        text = json.dumps(facts.told()) if as_json else page(facts, kept.url, f"{number}:{chain}")
        if out is None:
            typer.echo(text.rstrip("\n"))
            return
        try:
            out.write_text(text, encoding="utf-8")
        except OSError as error:
            raise BadInput(f"--out {out}: {error.strerror}; give a file in a folder that exists") from None
        typer.echo(f"{out}: {facts.entries:,} entries, {len(gaps(facts))} things not exercised")


def _operate(
    hedger: str, action: Action, subject: str, who: str, why: str, wait: float, token: Path | None, as_json: bool
) -> None:
    with exits():
        told = Operator(RealClock().now(), action, named(who, hedger), why, subject)
        tell(hedger, told, f"{action} {subject}".strip(), wait, token, as_json)


def answered(hedger: str, told: Instruction, wait: float, token: Path | None) -> tuple[str, str | None]:
    """The id that it is recorded under, and what became of it within `wait` seconds."""
    return Remote(hedger, token).tell(told, wait) if is_address(hedger) else _beside(hedger, told, wait)


def tell(hedger: str, told: Instruction, what: str, wait: float, token: Path | None, as_json: bool) -> None:
    """Recorded, then waited for. Raises NotTaken where it is refused or not taken."""
    if not told.why.strip():
        raise BadInput("--why is empty; say why, for the journal")
    name, answer = answered(hedger, told, wait, token)
    if as_json:
        typer.echo(json.dumps({"id": name, "answer": answer}))
    if answer != "taken":
        held = " and no order leaves until it is taken" if what == "halt" else ""
        raise NotTaken(f"{what}: {answer or f'recorded{held}; no hedger has taken it yet, see that one runs'}")
    if not as_json:
        typer.echo(f"{what}: taken")


def _beside(journal: str, told: Instruction, wait: float) -> tuple[str, str | None]:
    with closing(Journal(journal, readonly=True)) as kept, closing(kept.inbox()) as inbox:
        name = inbox.tell(told)
        return name, _answer(inbox, name, wait)


def _answer(inbox: Inbox, name: str, wait: float) -> str | None:
    clock = RealClock()
    until = clock.now() + round(wait * SECOND)
    while (answer := inbox.answered(name)) is None and clock.now() < until:
        clock.wait_until(clock.now() + LOOK)
    return answer


def named(who: str, hedger: str) -> str:
    """By an API it is the token that says who. Raises InboxError where the system knows no name."""
    if is_address(hedger):
        if who:
            raise BadInput("--who is for journals; by an address the journal keeps the name of the token")
        return ""
    try:
        return who.strip() or getpass.getuser()
    except (OSError, KeyError):
        raise InboxError("nobody is logged in; say who acts with --who") from None
