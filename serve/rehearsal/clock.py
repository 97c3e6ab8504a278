"""The hedger's clock in a rehearsal: the exchange's time, which stands still but when the hedger waits."""

from __future__ import annotations

import json
import time
import weakref
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from envs.types import BadInput
from serve.errors import ServeError

STEP = 60_000  # milliseconds of the exchange between two looks at what came of them
SPEED = 1_000  # times the wall, that a rehearsal goes at about
PATIENCE = 60.0  # seconds on the wall that an exchange which was killed has to come back


def pause() -> None:
    """Long enough on the wall for messages that have arrived to be read."""
    time.sleep(0.002)


class RehearsalClock:
    """A `serve.clock.Clock` that asks the exchange to go on.

    The exchange answers only once every websocket that is not stalled has read what was sent to it. What runs on the
    wall all the same: HTTP time-outs, ccxt's throttle, and `settled`.
    """

    def __init__(self, address: str, settled: Callable[[], None] = pause) -> None:
        """`address`: of the exchange, such as http://127.0.0.1:8123. `settled` returns when what the exchange sent has
        been taken in. Raises BadInput for an address beyond this machine."""
        parts = urlsplit(address)
        if parts.hostname != "127.0.0.1" or parts.port is None:
            raise BadInput(f"{address} is no rehearsal; give the address that `rehedge rehearse` prints")
        self._line, self.settled = HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE), settled
        weakref.finalize(self, self._line.close)
        self._now = 0
        self._now = self._asked(0)

    def now(self) -> int:
        return self._now

    def wait_until(self, when: int) -> None:
        """What is being sent is sent first. Raises ServeError where the exchange is gone and does not come back."""
        self.settled()
        while self._now < when:
            self._now = max(self._now, self._asked(min(when, self._now + STEP)))
            self.settled()

    def ahead(self, milliseconds: int) -> int:
        return self._now + milliseconds * SPEED

    def _asked(self, until: int) -> int:
        """The exchange's time, once it is `until` or later."""
        body, tries = json.dumps({"until": until}), round(PATIENCE / 0.1)
        for _ in range(tries):
            try:
                self._line.request("POST", "/control/advance", body, {"Content-Type": "application/json"})
                return int(json.loads(self._line.getresponse().read())["now"])
            except (OSError, HTTPException, ValueError):
                self._line.close()
                time.sleep(0.1)
        raise ServeError(f"the rehearsal exchange at port {self._line.port} does not answer; start it again")
