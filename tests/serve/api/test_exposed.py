"""What is reached from elsewhere: TLS by file, names, other sites' pages, and addresses that are refused."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fastapi.testclient import TestClient

from envs.types import BadInput
from serve.api import app, stream, tokens
from serve.api.command import Server, check_address
from serve.api.guard import Guard
from serve.api.tokens import Tokens
from serve.clock import RealClock
from serve.remote import Remote, RemoteError
from tests.serve.api.conftest import Beside, listening


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself, and its key."""
    folder, key = tmp_path_factory.mktemp("tls"), ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")]), datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return certificate, secret


@pytest.fixture
def address(shown: Beside, issued: tuple[Path, dict[str, str]], pair: tuple[Path, Path]) -> Iterator[str]:
    """Of the API behind TLS."""
    guard = Guard(tokens.load(issued[0]), RealClock())
    with listening(Server(shown.broadcast, guard, "127.0.0.1", 0, certificate=pair[0], key=pair[1])) as port:
        yield f"https://127.0.0.1:{port}"


def test_tls_by_file_is_spoken_and_checked(
    address: str, issued: tuple[Path, dict[str, str]], pair: tuple[Path, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text(issued[1]["read"])
    with pytest.raises(RemoteError, match="CERTIFICATE_VERIFY_FAILED"):
        Remote(address, token).read("/v1/state")
    monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
    assert Remote(address, token).read("/v1/state")["snapshot"]["state"] == "ACTIVE"
    with pytest.raises(RemoteError, match="send a token"):
        Remote(address, None).read("/v1/state")
    with pytest.raises(RemoteError):
        Remote(address.replace("https", "http"), None).read("/v1/state")
    protocols = ssl.get_server_certificate(("127.0.0.1", int(address.rpartition(":")[2])))
    assert protocols == pair[0].read_text()


def test_it_listens_elsewhere_only_with_tls_and_tokens(pair: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = pair
    for host in ("0.0.0.0", "192.0.2.7", "hedger.example", "::"):
        for guarded, files, words in ((True, (None, None), "--certificate"), (False, pair, "--tokens")):
            with pytest.raises(BadInput, match=f"can be reached from elsewhere; add {words}"):
                check_address(host, guarded, *files)
        check_address(host, True, certificate, key)
    for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1"):
        check_address(host, False, None, None)
    with pytest.raises(BadInput, match="go together"):
        check_address("127.0.0.1", True, certificate, None)
    with pytest.raises(BadInput, match="no such file"):
        check_address("127.0.0.1", True, certificate, tmp_path / "none.pem")


def test_it_answers_to_its_own_names_alone(shown: Beside, issued: tuple[Path, dict[str, str]]) -> None:
    """A page whose name another site points here (rebinding) is refused before anything is read."""
    for host, code in (
        ("127.0.0.1:8470", 200),
        ("localhost", 200),
        ("[::1]:8470", 200),
        ("evil.example", 400),
        ("", 400),
    ):
        reply = shown.client.get("/v1/state", headers={**shown.bearing("read"), "Host": host})
        assert reply.status_code == code, host
    named = app.made(shown.broadcast, Guard(tokens.load(issued[0]), shown.clock), ("hedger.example",))
    for host, code in (("hedger.example", 200), ("127.0.0.1", 400)):
        assert TestClient(named, base_url=f"http://{host}:8470").get("/").status_code == code


def test_no_other_site_may_read_or_tell(shown: Beside) -> None:
    """No answer allows another origin, and a command needs a token that no browser sends by itself."""
    elsewhere = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    asked = shown.client.options("/v1/safer", headers=elsewhere)
    assert asked.status_code == 405
    told = shown.client.post(
        "/v1/safer", headers={"Origin": "https://evil.example"}, json={"action": "halt", "why": "x"}
    )
    assert told.status_code == 401
    for reply in (asked, told, shown.client.get("/v1/state", headers={**shown.bearing("read"), **elsewhere})):
        assert not [name for name in reply.headers if name.startswith("access-control")]
        assert reply.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "frame-ancestors 'none'" in reply.headers["Content-Security-Policy"]
    assert not shown.inbox.waiting()


def test_a_stream_ends_with_its_server(shown: Beside) -> None:
    with listening(Server(shown.broadcast, Guard(Tokens({}), shown.clock), "127.0.0.1", 0)) as port:
        events = Remote(f"http://127.0.0.1:{port}", None).events("/v1/stream")
        assert next(events)["snapshot"]["state"] == "ACTIVE"
    assert list(events) == []


def test_a_watcher_hears_that_the_server_lives(shown: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    async def heard() -> list[bytes]:
        events = shown.broadcast.events()
        return [await anext(events) for _ in range(3)]

    monkeypatch.setattr(stream, "QUIET", 0.01)
    picture, *quiet = asyncio.run(heard())
    assert picture.startswith(b"id: 1\ndata: {")
    assert quiet == [stream.ALIVE] * 2
