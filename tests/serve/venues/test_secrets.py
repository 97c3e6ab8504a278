"""Keys are read where only their owner may read them, and appear nowhere: not in words, errors, journals or reprs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from envs.types import BadInput
from serve import dialects
from serve.clock import VirtualClock
from serve.errors import StartRefused
from serve.events import Rejected
from serve.venues import secrets
from serve.venues.checking import checked
from serve.venues.connection import Connection
from serve.venues.ordering import Ordering
from serve.venues.secrets import Secrets
from serve.venues.settings import ExchangeSettings, Keys
from serve.venues.tracks import Tracks
from tests.serve.dialects.house import house
from tests.serve.venues.desk import LEG, PERP, buys, settings

PLANTED = {"apiKey": "planted-key-4711", "secret": "planted-secret-0815"}
FIELDS = ("apiKey", "secret")


def hidden(text: str) -> bool:
    return not any(value in text for value in PLANTED.values())


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text('apiKey = "planted-key-4711"\nsecret = "planted-secret-0815"\n')
    file.chmod(0o640)
    with pytest.raises(BadInput, match="chmod 600"):
        secrets.read(Keys(file=str(file)), FIELDS)
    file.chmod(0o600)
    assert secrets.read(Keys(file=str(file)), FIELDS).shown() == PLANTED


@pytest.mark.parametrize("text", ['apiKey = "planted-key-4711"', 'apiKey = "planted-key-4711', "secret = 1"])
def test_a_file_without_them_is_refused_and_not_quoted(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(BadInput) as refused:
        secrets.read(Keys(file=str(file)), FIELDS)
    assert hidden(str(refused.value))


def test_the_environment_is_read_and_what_it_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Keys(environment={"apiKey": "OUR_KEY", "secret": "OUR_SECRET"})
    monkeypatch.setenv("OUR_KEY", PLANTED["apiKey"])
    monkeypatch.delenv("OUR_SECRET", raising=False)
    with pytest.raises(
        BadInput, match=r"^venue\.keys\.environment\.secret: the environment has no such variable"
    ) as told:
        secrets.read(keys, FIELDS)
    assert "OUR_SECRET" not in str(told.value), "it may be a secret that was pasted"
    monkeypatch.setenv("OUR_SECRET", PLANTED["secret"])
    assert secrets.read(keys, FIELDS).shown() == PLANTED


def test_settings_hold_no_secret_and_a_rehearsal_is_on_this_machine() -> None:
    assert hidden(repr(settings("http://127.0.0.1:1")))
    for address in ("http://203.0.113.9:80", "https://127.0.0.1:1", "http://127.0.0.1", "http://127.0.0.1:1/x"):
        with pytest.raises(ValueError, match="no rehearsal"):
            settings(address)


def test_wrong_keys_are_refused_in_one_line_that_does_not_show_them(tmp_path: Path) -> None:
    """Neither does a rejection, which is journalled, nor what prints the connection."""

    async def tried(own: ExchangeSettings) -> str:
        line = Connection(own, dialects.load("deribit"), Secrets(PLANTED))
        assert hidden(repr(line))
        with pytest.raises(StartRefused) as refused:
            await checked(line)
        told = list[object]()
        x = line.made()
        await line.loaded(x)
        await x.close()
        ordering = Ordering(line, Tracks(line.dialect, "desk", "a1b2c"), {LEG: PERP}, told.append, VirtualClock())
        await ordering.submit(buys())
        await ordering.close()
        assert [type(event) for event in told] == [Rejected]
        assert hidden(repr(told))
        return str(refused.value)

    async def run() -> str:
        async with house("deribit", tmp_path) as own:
            return await tried(settings(own.address))

    said = asyncio.run(asyncio.wait_for(run(), 30))
    assert said.startswith("deribit does not accept the key: AuthenticationError")
    assert "\n" not in said
    assert hidden(said)


def test_what_an_error_says_is_scrubbed() -> None:
    own = Secrets(PLANTED)
    error = ValueError(f"GET https://x/?client_id={PLANTED['apiKey']}\n&sig={PLANTED['secret']}" + "x" * 999)
    assert hidden(own.words(error))
    assert "\n" not in own.words(error)
    assert len(own.words(error)) < 400


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0xAbCdEf0123456789", "the key abcdef0123456789 is unknown"),
        ("0xAbCdEf0123456789", "the key 0xABCDEF0123456789 is unknown"),
        ("0XAbCdEf0123456789", "the key AbCdEf0123456789 is unknown"),
        ('pass"word\n4711', '{"msg": "no pass\\"word\\n4711"}'),
    ],
)
def test_a_secret_is_hidden_however_it_is_spelt(value: str, said: str) -> None:
    told = Secrets({"privateKey": value}).scrubbed(said)
    assert "***" in told
    assert not any(part in told.casefold() for part in ("abcdef0123456789", "word", "4711"))


def test_a_secret_within_another_leaves_nothing_of_it() -> None:
    assert Secrets({"apiKey": "abc", "secret": "abcdef"}).scrubbed("x abcdef y") == "x *** y"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("503, url='ws://h:1/private/ws?listenKey=k4711'", "503, url='ws://h:1/private/ws?***'"),
        (
            'GET https://h/fapi/v1/order?a=1&signature=k%2F4711 {"code": 1}',
            'GET https://h/fapi/v1/order?*** {"code": 1}',
        ),
        ("GET /order?signature=k4711", "GET /order?***"),
        ("is it so? it = 4", "is it so? it = 4"),
    ],
)
def test_the_query_of_an_address_is_hidden_whatever_the_secrets_are(said: str, told: str) -> None:
    """A listen key opens the private websocket, and no setting has it."""
    assert Secrets({}).words(OSError(said)) == f"OSError: {told}"
