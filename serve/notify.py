"""Tells systemd that the hedger is ready, and that it still turns (sd_notify); silent where nobody listens."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from serve.clock import SECOND, Clock

EVERY = SECOND  # of the wall, between signs of life


class Notifier:
    def __init__(self, clock: Clock, address: str | None = None) -> None:
        """`address`: of a datagram socket; without it, that of $NOTIFY_SOCKET."""
        self._clock, self._next = clock, 0
        self._address = os.environ.get("NOTIFY_SOCKET", "") if address is None else address

    def ready(self) -> None:
        self._send("READY=1")

    def alive(self, status: str) -> None:
        """At most once every so often."""
        if self._address and self._clock.now() >= self._next:
            self._next = self._clock.ahead(EVERY)
            self._send(f"WATCHDOG=1\nSTATUS={status}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        """Whatever becomes of it, the hedger goes on."""
        if not self._address:
            return
        place = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.setblocking(False)
            channel.sendto(text.encode(), place)
