"""The operator's commands by an address: the same words as beside the journal, and the token stays where it belongs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console, Group
from typer.testing import CliRunner

from envs.types import BadInput
from rehedge import app as rehedge
from serve import codec
from serve.api import tokens
from serve.api.command import Server
from serve.api.guard import Guard
from serve.api.screen import screen
from serve.api.status import _believed
from serve.api.stream import Broadcast, Picture
from serve.booked import Booked
from serve.clock import RealClock
from serve.events import BookFunded, BookSettled, BookTraded, CollateralMoved, Holding, Operator, TargetSet
from serve.inbox import Inbox, Instruction
from serve.journal import Journal
from serve.mirror import Mirror
from serve.remote import Remote, RemoteError
from tests.serve.api.conftest import Beside, listening
from tests.serve.api.test_schema import Hasty, answering
from tests.serve.support import PERP, START


@pytest.fixture(scope="module")
def address(
    mirrored: Mirror, issued: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Of an API whose hedger takes whatever it is told, into a journal of its own."""
    file = tmp_path_factory.mktemp("remote") / "j.db"
    with closing(Journal(str(file))) as journal, closing(journal.inbox()) as inbox, answering(inbox):
        broadcast = Broadcast(mirrored, inbox, RealClock())
        broadcast.look()
        guard = Guard(tokens.load(issued[0]), Hasty(START))
        with listening(Server(broadcast, guard, "127.0.0.1", 0)) as port:
            yield f"http://127.0.0.1:{port}"


@pytest.fixture
def token(issued: tuple[Path, dict[str, str]], tmp_path: Path) -> str:
    """The file of a token that may do everything."""
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text(issued[1]["release"] + "\n")
    return str(file)


def called(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(rehedge, list(arguments))
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("halt",), ("fallback",), ("flatten", "--close"), ("resume",), ("rollback",), ("acknowledge", "price_jump"),
        ("override", "delta:BTC"), ("promote", "models/next"), ("target", "BTC", "--delta", "2.5"),
        ("transfer", "BTC-PERP", "2500.5"),
    ],
)  # fmt: skip
def test_every_command_is_told_with_the_name_of_the_token(
    words: tuple[str, ...], address: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = list[Instruction]()
    tell = Remote.tell

    def heard(self: Remote, told: Instruction, wait: float) -> tuple[str, str | None]:
        noted.append(told)
        return tell(self, told, wait)

    monkeypatch.setattr(Remote, "tell", heard)
    name, *rest = words
    code, out, error = called(name, address, *rest, "--why", "drill", "--token-file", token)
    assert (code, error) == (0, "")
    assert out.endswith(": taken\n")
    (told,) = noted
    if isinstance(told, Operator):
        assert (told.action, told.why) == (name, "drill")
        assert told.subject == {"flatten": "close", "promote": "models/next"}.get(name, rest[0] if rest else "")
    elif isinstance(told, TargetSet):
        assert (told.asset, told.delta) == ("BTC", 2.5)
    else:
        assert isinstance(told, CollateralMoved)
        assert (told.account, told.amount, told.source) == ("BTC-PERP", Decimal("2500.5"), "outside")


def test_changes_of_the_book_are_told_by_the_api(
    address: str, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the file says them, and with the name of the token."""
    changes, kept = tmp_path / "changes.jsonl", list[Instruction]()
    held = Holding("c-9", "BTC", "option", Decimal("-2.5"), START, "put", 30_000.0, settlement="coin")
    said = [BookTraded(START, held, Decimal("75.5"), trade="t-1"), BookFunded(START, "c-9", Decimal("-0.25")),
            BookSettled(START, "c-9", 31_000.0, Decimal(0))]  # fmt: skip
    changes.write_bytes(b"".join(codec.encode(each) + b"\n" for each in said))
    recorded = Inbox.tell

    def noted(self: Inbox, told: Instruction) -> str:
        kept.append(told)
        return recorded(self, told)

    monkeypatch.setattr(Inbox, "tell", noted)
    code, out, error = called("book", address, str(changes), "--why", "drill", "--token-file", token)
    assert (code, error) == (0, "")
    assert out.endswith(": 3 taken\n")
    for found, expected in zip(kept, said, strict=True):
        assert isinstance(found, Booked)
        assert (found.who, found.why) == ("releaseer", "drill")
        assert replace(found, time=START, who="", why="", command="") == expected


def test_what_was_told_stands_in_the_inbox_under_its_id(address: str, token: str) -> None:
    code, out, _ = called("halt", address, "--why", "drill", "--token-file", token, "--json")
    assert code == 0
    said = json.loads(out)
    assert said["answer"] == "taken"
    assert Remote(address, Path(token)).read(f"/v1/commands/{said['id']}") == said


def test_status_is_the_pictures(address: str, token: str, mirrored: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REHEDGE_TOKEN_FILE", token)
    monkeypatch.setenv("REHEDGE_HEDGER", address)
    code, out, _ = called("status", "--json")
    assert code == 0
    assert mirrored.state is not None
    assert json.loads(out)["snapshot"]["state"] == mirrored.state.risk.name
    code, out, _ = called("status")
    assert code == 0
    for words in (mirrored.state.risk.name, PERP, "calm", "the delta hedge would have made", "band"):
        assert words in out


def test_watched_it_is_shown_again_and_again_until_a_person_has_enough(
    address: str, token: str, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By both ways; a server that goes away is said, with the last picture below it."""
    looks, shown = list[int](), list[str]()

    def noted(picture: Picture, now: int) -> Group:
        shown.append(picture.snapshot.state)
        return screen(picture, now)

    def wait(self: RealClock, when: int) -> None:
        looks.append(when)
        if len(looks) % 3 == 0:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(RealClock, "wait_until", wait)
        patched.setattr("serve.api.status.screen", noted)
        for hedger in (address, str(recorded)):
            assert called("status", hedger, "--watch", "--token-file", token)[0] == 0
    assert shown == ["ACTIVE"] * 6
    monkeypatch.setattr(Remote, "read", _fails)
    gone = _believed(Remote(address, None), Picture.model_construct(fault=""))()
    assert gone.fault == "it went away"


def _fails(self: Remote, path: str) -> None:
    raise RemoteError("it went away")


def test_logs_begin_with_the_latest_and_follow(address: str, token: str, mirrored: Mirror) -> None:
    code, out, _ = called("logs", address, "--last", "3", "--no-follow", "--json", "--token-file", token)
    assert code == 0
    assert [json.loads(line)["number"] for line in out.splitlines()] == [each.number for each in mirrored.story][-3:]
    events = Remote(address, Path(token)).events("/v1/stream")
    first = next(events)
    events.close()
    assert first["story"][-1]["number"] == mirrored.story[-1].number


def test_logs_of_a_journal_are_the_same_lines(address: str, token: str, recorded: Path) -> None:
    near = called("logs", str(recorded), "--last", "5", "--no-follow")
    far = called("logs", address, "--last", "5", "--no-follow", "--token-file", token)
    assert near == far
    assert near[1].count("\n") == 5


def test_the_screen_says_what_is_wrong_first(shown: Beside) -> None:
    picture = shown.broadcast.shown().picture
    console = Console(width=120, record=True, file=StringIO())
    console.print(screen(picture.model_copy(update={"fault": "the journal cannot be read"}), START))
    text = console.export_text()
    assert "UNKNOWN" in text.splitlines()[0]
    assert "the journal cannot be read" in text
    console.print(screen(picture, picture.grew_at + 45_000))
    assert "its journal last grew 45 s ago" in console.export_text()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("halt", "http://127.0.0.1:1", "--why", "x"), 1, "127.0.0.1:1 does not answer"),
        (("halt", "https://", "--why", "x"), 2, "no address"),
        (("halt", "http://hedger.example:8470", "--why", "x"), 2, "would cross the network in clear"),
        (("halt", "https://hedger.example/v1", "--why", "x"), 2, "no address"),
        (("halt", "http://127.0.0.1:1", "--why", "x", "--who", "ann"), 2, "--who is for journals"),
    ],
)
def test_a_wrong_address_is_one_line(words: tuple[str, ...], code: int, said: str, token: str) -> None:
    found = called(*words, "--token-file", token)
    assert found[0] == code
    assert said in found[2]
    assert found[2].count("\n") == 1


def test_without_a_right_to_it_a_command_fails_in_one_line(
    address: str, issued: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    reader = tmp_path / "reader"
    reader.touch(0o600)
    reader.write_text(issued[1]["read"])
    code, _, error = called("halt", address, "--why", "drill", "--token-file", str(reader))
    assert (code, error.count("\n")) == (1, 1)
    assert "reader may read; this takes the scope operate" in error
    code, _, error = called("halt", address, "--why", "drill")
    assert code == 1
    assert "send a token" in error
    reader.chmod(0o644)
    with pytest.raises(BadInput, match="others may read it"):
        Remote(address, reader)
