"""What systemd hears, over a socket of its kind."""

from __future__ import annotations

import socket
from pathlib import Path

from serve.clock import VirtualClock
from serve.notify import EVERY, Notifier
from tests.serve.support import START


def test_ready_alive_at_most_once_a_second_and_stopping(tmp_path: Path) -> None:
    clock = VirtualClock(START, speed=1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "s"))
        heard.setblocking(False)
        notifier = Notifier(clock, str(tmp_path / "s"))
        notifier.ready()
        for _ in range(3):
            notifier.alive("ACTIVE")
        clock._now += EVERY  # a clock with a speed would sleep
        notifier.alive("HALTED")
        notifier.stopping()
        texts = [heard.recv(100).decode() for _ in range(4)]
        assert texts == ["READY=1", "WATCHDOG=1\nSTATUS=ACTIVE", "WATCHDOG=1\nSTATUS=HALTED", "STOPPING=1"]


def test_without_a_listener_nothing_happens(tmp_path: Path) -> None:
    for address in ("", str(tmp_path / "nobody"), "@nobody"):
        notifier = Notifier(VirtualClock(START), address)
        notifier.ready()
        notifier.alive("ACTIVE")
