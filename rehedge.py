"""The command `rehedge`: finds a subcommand's function when it is asked for.

And turns bad input into one line and exit code 2.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from envs.types import BadInput

COMMANDS = {  # name: (module:function, what it does)
    "demo": ("train.demo:command", "The whole road on shipped data: calibrate, train, judge, hedge on paper."),
    "fetch": ("train.fetch_command:command", "Download prices or funding from an exchange."),
    "calibrate": ("train.calibration_command:command", "Fit the market model to real prices."),
    "train": ("train.commands:train", "Learn a policy on the simulated market."),
    "sweep": ("train.sweep_command:command", "Train and judge a grid of policies, and search in it."),
    "evaluate": ("train.commands:evaluate", "Judge a model against every classical hedge."),
    "walk": ("train.walk_command:command", "Calibrate and train on the past, judge on what follows, fold by fold."),
    "models": ("train.models:app", "List, show, verify and promote trained models."),
    "serve": ("serve.cli:serve", "Hedge live on paper with a trained policy."),
    "rehearse": ("serve.rehearsal.command:rehearse", "Run your settings on an exchange that misbehaves."),
    "status": ("serve.api.status:status", "How a hedger stands; --watch keeps on showing it."),
    "logs": ("serve.api.status:logs", "What a hedger did and does, in plain words."),
    "halt": ("serve.operating:halt", "Stop a hedger: cancel every order and send none."),
    "fallback": ("serve.operating:fallback", "Let the analytic hedge decide in place of the policy."),
    "resume": ("serve.operating:resume", "Leave a halt, in two steps."),
    "flatten": ("serve.operating:flatten", "Neutralise, or unwind, at once."),
    "acknowledge": ("serve.operating:acknowledge", "Release the latch of a breaker."),
    "override": ("serve.operating:override", "Lift a soft limit for a while."),
    "promote": ("serve.operating:promote", "Let another model decide."),
    "rollback": ("serve.operating:rollback", "Let the model before decide again."),
    "book": ("serve.steering:book", "Tell what was traded in the book to be hedged."),
    "target": ("serve.steering:target", "Steer to other greeks."),
    "transfer": ("serve.steering:transfer", "Record collateral that was sent to a margin account."),
    "dashboard": ("serve.api.command:dashboard", "Watch and steer a hedger in a browser, by API and by metrics."),
    "token": ("serve.api.command:token_app", "Say who may use the dashboard and the API."),
    "doctor": ("serve.doctor:doctor", "Check settings, model, journal, disk, clock and secrets."),
    "watchdog": ("serve.watchdog:command", "Page a person, and fence a hedger that has fallen silent."),
    "assess": ("serve.operating:assess", "The yearly self-assessment's facts, from a journal."),
    "replay": ("serve.cli:replay", "Reproduce every decision of a journal."),
    "journal": ("serve.cli:journal_app", "Check a journal's hash chain."),
}


class Subcommands(TyperGroup):
    """Imports a subcommand's module only when it runs or shows its help."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, function = COMMANDS[cmd_name][0].split(":")
        found = getattr(import_module(module), function)
        if isinstance(found, typer.Typer):
            return typer.main.get_group(found)
        app = typer.Typer(add_completion=False)
        app.command(cmd_name)(found)
        return typer.main.get_command(app)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


app = typer.Typer(
    cls=Subcommands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,  # a secret may be one
)


@app.callback()
def rehedge() -> None:
    """Learns how to hedge digital-asset books, proves it against every classical hedge, and hedges live behind
    breakers.

    Example: rehedge evaluate models/short_call --json
    """


def main(arguments: list[str] | None = None) -> Any:
    """Exit code 0, 1 where a command failed, 2 for bad input: one line on standard error."""
    try:
        return app(args=arguments, prog_name="rehedge")
    except BadInput as error:
        print(f"rehedge: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
