"""The command `dashboard`, which serves API, page and metrics beside a hedger, and `token`: who may use them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from socket import socket
from typing import Annotated, Literal

import typer
import uvicorn
from rich.console import Console

from envs.types import BadInput
from serve.api import app, tokens
from serve.api.following import caught_up
from serve.api.guard import Guard
from serve.api.stream import Broadcast
from serve.api.tokens import Tokens
from serve.cli import Kept, exits
from serve.clock import RealClock
from serve.journal import Journal
from serve.remote import loopback

TOKENS = Path("runs/tokens.toml")
NICE = 5  # the hedger goes first
LOG = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "loggers": {"uvicorn.error": {"handlers": ["stderr"], "level": "WARNING"}},
}  # no access log: what is asked for may hold what nobody should read
token_app = typer.Typer(no_args_is_help=True, help="Say who may look at a hedger, stop it, or let it go on.")
TokenFile = Annotated[Path, typer.Option("--file", help="Names, scopes and hashes; readable by you alone.")]
console = Console(stderr=True)


def dashboard(
    journal: Kept,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8470,
    tokens_file: Annotated[
        Path | None, typer.Option("--tokens", help="File that `rehedge token add` wrote; without it, read only.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="Of TLS, PEM.")] = None,
    key: Annotated[Path | None, typer.Option(help="Of the certificate, PEM.")] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="By which it is reached, beside --host and localhost; once for each.")
    ] = None,
) -> None:
    """Serve the page, the API (/openapi.json) and Prometheus metrics (/metrics) of the hedger that writes a journal.

    Example: rehedge dashboard runs/paper.db --tokens runs/tokens.toml
    """
    with exits():
        known = Tokens({}) if tokens_file is None else tokens.load(tokens_file)
        check_address(host, bool(known), certificate, key)
        with closing(Journal(journal, readonly=True)) as kept, closing(kept.inbox()) as inbox:
            clock = RealClock()
            os.nice(NICE)
            broadcast = Broadcast(caught_up(kept), inbox, clock)
            scheme = "http" if certificate is None else "https"
            console.print(f"{scheme}://{host}:{port}/ shows {kept.url}; Ctrl-C ends it, the hedger goes on.")
            Server(broadcast, Guard(known, clock), host, port, name or (), certificate, key).run()


class Server(uvicorn.Server):
    """With TLS where there is a certificate; it ends its streams when it ends."""

    def __init__(
        self, broadcast: Broadcast, guard: Guard, host: str, port: int, names: Sequence[str] = (),
        certificate: Path | None = None, key: Path | None = None,
    ) -> None:  # fmt: skip
        self._broadcast = broadcast
        served = app.made(broadcast, guard, (*app.LOCAL, f"[{host}]" if ":" in host else host, *names))
        super().__init__(
            uvicorn.Config(
                served, host=host, port=port, log_config=LOG, access_log=False, server_header=False,
                ssl_certfile=certificate, ssl_keyfile=key, timeout_graceful_shutdown=1,
            )
        )  # fmt: skip

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        await self._broadcast.end()
        await super().shutdown(sockets)


@token_app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Whose: it stands in the journal beside what they tell.")],
    scope: Annotated[
        Literal["read", "operate", "release"],
        typer.Option(help="read: look; operate: halt and flatten too; release: resume, override, promote too."),
    ] = "read",
    file: TokenFile = TOKENS,
) -> None:
    """Make a token and show it once.

    Example: rehedge token add ann --scope operate
    """
    with exits():
        typer.echo(tokens.issued(file, name, scope))
        console.print(f"{name} may {scope}. The token stands nowhere else; {file} holds its hash.")


@token_app.command("revoke")
def revoke(name: Annotated[str, typer.Argument()], file: TokenFile = TOKENS) -> None:
    """Take a token away; a dashboard that runs must be started anew.

    Example: rehedge token revoke ann
    """
    with exits():
        tokens.revoked(file, name)
        typer.echo(f"{name} has no token any more")


def check_address(host: str, guarded: bool, certificate: Path | None, key: Path | None) -> None:
    """Raises BadInput for an address beyond this machine without TLS and tokens, and for half a certificate."""
    if (certificate is None) != (key is None):
        raise BadInput("--certificate and --key go together; give both")
    for path in (certificate, key):
        if path is not None and not path.is_file():
            raise BadInput(f"{path}: no such file; give a PEM file")
    if not loopback(host) and (certificate is None or not guarded):
        missing = " and ".join(
            name for name, there in (("--certificate and --key", certificate), ("--tokens", guarded)) if not there
        )
        raise BadInput(f"--host {host} can be reached from elsewhere; add {missing}, or listen on 127.0.0.1")
