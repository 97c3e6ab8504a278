"""Secrets that are planted are looked for in everything that a person or a machine is shown: none may be there."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import tomli_w
from typer.testing import CliRunner

from rehedge import app as rehedge
from serve.config import ServeConfig
from serve.rehearsal.protocols import TRADER
from serve.rehearsal.types import Move
from tests.serve.api.conftest import Beside
from tests.serve.dialects.house import START, House
from tests.serve.processes import entries, free_port, listening, private, running, until, webhook
from tests.serve.support import raw_config
from tests.serve.venues.desk import settings as traded
from tests.serve.venues.echo import Echo
from tests.serve.venues.test_opening import Paced, apart

PLANTED = {
    "environment": "PLANTEDenvKEY0123456789",
    "alerts": "PLANTEDalertPASSWORD",
    "typed": "PLANTEDtypedTOKEN",
    "certificate": "PLANTEDcertificateKEY",
}
PATHS = (
    "/v1/state", "/v1/decisions", "/v1/transitions", "/v1/alerts", "/v1/denied", "/v1/fills", "/v1/course",
    "/v1/journal", "/v1/commands/none", "/metrics", "/openapi.json", "/", "/nowhere",
    "/v1/decisions?last=PLANTEDno", "/static/none",
)  # fmt: skip


def leaks(texts: Iterable[str | bytes], secrets: Iterable[str]) -> list[str]:
    """Which of the secrets stand in any of the texts."""
    whole = b"\0".join(each if isinstance(each, bytes) else each.encode() for each in texts)
    return [each for each in secrets if each.encode() in whole]


def test_no_answer_of_the_api_holds_a_token_or_its_hash(shown: Beside, issued: tuple[Path, dict[str, str]]) -> None:
    hashes = [line.partition('"')[2].rstrip('"') for line in issued[0].read_text().splitlines() if "hash" in line]
    secrets = [*shown.secrets.values(), *(each.partition(".")[2] for each in shown.secrets.values()), *hashes]
    assert len(hashes) == 3
    texts = []
    for path in PATHS:
        for scope in ("read", "release"):
            texts += [shown.client.get(path, headers=shown.bearing(scope)).text, shown.client.get(path).text]
    wrong = {"Authorization": f"Bearer releaseer.{PLANTED['typed']}"}
    bodies: list[object] = [{"action": "halt"}, {"action": shown.secrets["release"], "why": "x"}, [], "x"]
    texts += [shown.client.post("/v1/safer", json=each, headers=wrong).text for each in bodies]
    refused = [shown.client.post("/v1/safer", json=each, headers=shown.bearing("read")) for each in bodies[:1]]
    texts += [str(reply.headers) + reply.text for reply in refused]
    assert leaks(texts, [*secrets, PLANTED["typed"]]) == []


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "tokens",
            f'[tokens.ann]\nscope = "read"\nhash = "{PLANTED["typed"]}"',
            ("dashboard", "J", "--tokens", "FILE"),
        ),
        ("tokens", f"{PLANTED['typed']} =", ("token", "add", "ann", "--file", "FILE")),
        ("urls", f"nothing://{PLANTED['alerts']}@host", ("watchdog", "J", "--services", "FILE")),
        ("token", f"one\n{PLANTED['typed']}", ("status", "http://127.0.0.1:1", "--token-file", "FILE")),
        ("token", PLANTED["typed"], ("status", "http://127.0.0.1:1", "--token-file", "FILE")),
        ("token", PLANTED["typed"], ("halt", "http://far.example", "--why", "x", "--token-file", "FILE")),
    ],
)
def test_no_error_of_the_command_line_holds_what_a_file_holds(
    name: str, text: str, words: tuple[str, ...], recorded: Path, tmp_path: Path
) -> None:
    file = private(tmp_path / name, text)
    given = [{"J": str(recorded), "FILE": str(file)}.get(word, word) for word in words]
    done = CliRunner().invoke(rehedge, given)
    assert done.exit_code in (1, 2)
    assert done.stderr.count("\n") == 1
    assert leaks([done.stdout, done.stderr], PLANTED.values()) == []


@pytest.mark.slow
def test_nothing_that_three_processes_say_or_keep_holds_a_secret(
    settings: ServeConfig, issued: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    """Hedger, dashboard and watchdog, on an exchange that quotes the hedger's keys in its errors, while alerts fail
    and guesses are made.
    """
    journal, port = tmp_path / "j.db", free_port()
    rules = tmp_path / "watchdog.toml"
    rules.write_text(tomli_w.dumps({"silent_seconds": 5.0, "fence_seconds": 600.0, "repeat_seconds": 600.0}))
    environment = dict.fromkeys(("NO_KEY", "NO_SECRET"), PLANTED["environment"])
    look = ["dashboard", str(journal), "--port", str(port), "--tokens", str(issued[0])]
    texts = list[str | bytes]()
    with webhook() as (url, got), apart(tmp_path) as own:
        echo = quoting(own)
        dead = f"json://ann:{PLANTED['alerts']}@127.0.0.1:{free_port()}/"
        heard = url.replace("json://", f"json://ann:{PLANTED['alerts']}@")
        urls = private(tmp_path / "urls", f"{dead}\n{heard}\n")
        watch = ["watchdog", str(journal), "--services", str(urls), "--config", str(rules)]
        serve = ["serve", str(configured(own, settings, tmp_path)), "--journal", str(journal)]
        logs = [tmp_path / f"{name}.log" for name in ("hedger", "dashboard", "watchdog")]
        with running(logs[0], *serve, "--rehearsal", own.address, environment=environment) as hedger:
            until(lambda: entries(journal) > 0)
            echo.requests = 9
            with running(logs[1], *look, environment=environment), running(logs[2], *watch, environment=environment):
                until(lambda: listening(port))
                texts += list(_answers(port, issued[1]))
                hedger.popen.wait(300)
                until(lambda: "written nothing" in json.dumps(got))
                texts += [*_answers(port, issued[1]), json.dumps(got)]
        sent = [value for each in own.overheard.requests for value in each.headers.values()]
    texts += [each.read_bytes() for each in (*logs, *tmp_path.glob("j.db*"))]
    tokens = [*issued[1].values(), *(each.partition(".")[2] for each in issued[1].values())]
    told = ["price_jump", "written nothing", "you sent ***", "an error that nobody awaits"]
    assert leaks(texts, told) == told, "all of it was told"
    assert leaks(sent, echo.secrets) == [TRADER.key], "with which everything was signed"
    assert leaks(texts, [*PLANTED.values(), *tokens, *echo.secrets]) == []


def quoting(own: House) -> Echo:
    """The exchange tells the keys in every tenth minute; half an hour before its end the price falls."""
    moves = [Move(START + 60_000 * n, "BTC", Decimal(84_000 - 10_000 * (n > 90) + 40 * (n % 7))) for n in range(1, 120)]
    own.floor._market = Paced(moves)
    own.overheard.spoken = Echo(own.overheard.spoken, "deribit", (TRADER.key, TRADER.secret), moves=10)
    return own.overheard.spoken


def configured(own: House, settings: ServeConfig, tmp_path: Path) -> Path:
    venue = traded(own.address).model_dump(mode="json", exclude={"sources", "rehearsal"}, exclude_none=True)
    raw = raw_config(model=settings.model, venue=venue, reconcile__cash_tolerance="1", name="desk")
    config = tmp_path / "config.toml"
    config.write_text(tomli_w.dumps(raw))
    return config


def _answers(port: int, secrets: dict[str, str]) -> Iterable[str]:
    for path in PATHS:
        for token in (secrets["read"], secrets["release"], f"reader.{PLANTED['typed']}"):
            request = Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"})
            try:
                with urlopen(request) as reply:
                    yield f"{reply.headers}{reply.read().decode()}"
            except HTTPError as error:
                with error:
                    yield f"{error.headers}{error.read().decode()}"
