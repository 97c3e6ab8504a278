"""No test opens a connection beyond this machine: the guard of conftest.py, on addresses that are nobody's."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

NOBODY = "192.0.2.1"  # RFC 5737: for documentation


@pytest.mark.parametrize("reach", ["connect", "connect_ex"])
def test_no_connection_leaves(reach: str) -> None:
    with socket.socket() as line, pytest.raises(RuntimeError, match="this machine alone"):
        getattr(line, reach)((NOBODY, 443))


def test_no_name_and_no_datagram_leaves() -> None:
    with socket.socket() as line, pytest.raises(RuntimeError, match="example"):
        line.connect(("example.com", 443))
    with socket.socket(type=socket.SOCK_DGRAM) as line, pytest.raises(RuntimeError, match=NOBODY):
        line.sendto(b"?", (NOBODY, 53))
    with socket.socket(socket.AF_INET6) as line, pytest.raises(RuntimeError, match="2001:db8"):
        line.connect(("2001:db8::1", 443))


def test_an_event_loop_is_held_back_too() -> None:
    async def reach() -> None:
        await asyncio.open_connection(NOBODY, 443)

    with pytest.raises(RuntimeError, match="this machine alone"):
        asyncio.run(reach())


def test_this_machine_is_reached(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as line:
        assert line.getpeername() == server.getsockname()
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as line:
        server.bind(str(tmp_path / "s"))
        server.listen()
        line.connect(str(tmp_path / "s"))
