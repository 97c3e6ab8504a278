"""A rehearsal from start to verdict: the exchange and the hedger as processes, killed now and then."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from math import exp, log
from pathlib import Path
from random import Random
from typing import Any, Literal

from serve import config as configs
from serve.clock import HOUR, SECOND, show
from serve.errors import ServeError
from serve.journal import Journal
from serve.rehearsal.plan import PORT, RECORD, Plan
from serve.rehearsal.record import replayed
from serve.rehearsal.types import Gone, Happening
from serve.rehearsal.verdict import heard, rested, violations

LOOK = 0.1  # seconds on the wall between looks at the exchange
STUCK = 120.0  # seconds on the wall without the time going on, after which the hedger counts as hung
REFUSED, PATIENT, AGAIN = "failed: ", 10, 5 * SECOND  # a start that is refused; so often; so much later
AWAY = (10 * SECOND, 20 * 60 * SECOND)  # that a killed hedger stays away, milliseconds of the exchange
WAITS = HOUR  # that a kill of the hedger waits for an order that rests
ENVIRONMENT = {"OMP_NUM_THREADS": "1"}
Victim = Literal["hedger", "exchange", "both"]


@dataclass(frozen=True)
class Kill:
    at: int
    who: Victim
    away: int  # milliseconds of the exchange

    def due(self, now: int, resting: int) -> bool:
        """The hedger is best killed while something of it rests."""
        return now >= self.at + (0 if resting or self.who == "exchange" else WAITS)


@dataclass
class Verdict:
    protocol: str
    seed: int
    orders: int = 0
    rested: int = 0  # of the orders, those that rested in the book
    dead_man: int = 0  # of these, those that the exchange cancelled as the hedger, or its connection, was gone
    fills: int = 0
    requests: int = 0
    state: str = ""
    restarts: int = 0  # after a kill
    refused: int = 0  # starts, for a reason that the hedger gave
    faults: dict[str, int] = field(default_factory=dict)
    cancels: int = 0  # of the faults, those that befell the reply to a cancel
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0


def kills(count: int, plan: Plan) -> list[Kill]:
    """At random times, of the hedger, of the exchange, and of both in turn."""
    draws, victims = Random(f"kills {plan.seed}"), ("hedger", "exchange", "both")
    span = plan.ends - plan.first
    times = sorted(draws.randrange(plan.first + span // 20, plan.ends - span // 10) for _ in range(count))
    return [Kill(at, victims[place % 3], _away(draws)) for place, at in enumerate(times)]  # type: ignore[arg-type]


def _away(draws: Random) -> int:
    """As often shorter as longer than a dead man's switch waits."""
    shortest, longest = AWAY
    return round(exp(draws.uniform(log(shortest), log(longest))))


class Rehearsal:
    def __init__(self, config: Path, plan: Plan, kills: Sequence[Kill], told: Callable[[int], None]) -> None:
        """`told` hears the exchange's time as it goes on."""
        self._config, self.plan, self._kills, self._told = config, plan, list(kills), told
        self._port, self._begun = 0, dict[str, int]()  # where in its log the last start of each begins
        self.journal = plan.folder / "hedger.db"
        self.verdict = Verdict(plan.protocol, plan.seed)

    def run(self) -> Verdict:
        """Raises ServeError where a process does not start."""
        began = time.monotonic()
        self._exchange = self._started("exchange", self._serving(0))
        self._port = self._answers()
        self._hedger = self._started("hedger", self._hedging())
        try:
            self._watched()
            self._judged()
        finally:
            self._ended(self._hedger, signal.SIGKILL)
            self._ended(self._exchange, signal.SIGTERM)
        self.verdict.seconds = round(time.monotonic() - began, 1)
        return self.verdict

    def _serving(self, port: int) -> list[str]:
        plan = self.plan
        return [
            *("rehearse", str(self._config), "--serve-only", "--folder", str(plan.folder), "--port", str(port)),
            *("--from", show(plan.first).replace(" ", "T"), "--days", str(plan.days), "--seed", str(plan.seed)),
            *("--faults", ",".join(plan.faults) or "none", "--protocol", plan.protocol),
        ]

    def _hedging(self) -> list[str]:
        address = f"http://127.0.0.1:{self._port}"
        return ["serve", str(self._config), "--rehearsal", address, "--journal", str(self.journal), "--json"]

    def _started(self, name: str, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        """What it says goes to a file of its name."""
        with (self.plan.folder / f"{name}.log").open("ab") as log:
            self._begun[name] = log.tell()
            command = [sys.executable, "-m", "rehedge", *arguments]
            return subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | ENVIRONMENT)

    def _answers(self) -> int:
        """The port, once the exchange is there."""
        port = self.plan.folder / PORT
        for _ in range(round(STUCK / LOOK)):
            if self._exchange.poll() is not None:
                raise ServeError(f"the exchange ended: {self._last('exchange')}")
            if port.exists() and (text := port.read_text()):
                return int(text)
            time.sleep(LOOK)
        raise ServeError(f"the exchange does not answer: {self._last('exchange')}")

    def _watched(self) -> None:
        """Until the hedger ends by itself, or hangs; one that refused to start is started again, as a service is."""
        while not self._stopped():
            refused = self._hedger.returncode == 1 and self._last("hedger").startswith(REFUSED)
            if self._hedger.returncode == 0:
                return
            if not refused or self.verdict.refused == PATIENT:
                self.verdict.violations.append(f"ended: exit code {self._hedger.returncode}, {self._last('hedger')}")
                return
            self.verdict.refused += 1
            self._asked("POST", "/control/advance", {"until": self._asked("GET", "/control/status")["now"] + AGAIN})
            self._hedger = self._started("hedger", self._hedging())

    def _stopped(self) -> bool:
        """Whether it hung; else it has ended."""
        last, stuck = 0, 0.0
        while self._hedger.poll() is None:
            time.sleep(LOOK)
            status = self._asked("GET", "/control/status")
            now = status.get("now", last)
            stuck = 0.0 if now > last else stuck + LOOK
            last = now
            self._told(now)
            if stuck > STUCK:
                self.verdict.violations.append(f"hung: the hedger stands still at {show(now)}")
                return True
            if self._kills and self._kills[0].due(now, status.get("resting", 0)):
                self._killed(self._kills.pop(0))
                stuck = 0.0
        return False

    def _killed(self, kill: Kill) -> None:
        """By SIGKILL; what died comes back, and while the hedger is away the market goes on."""
        if kill.who != "hedger":
            self._ended(self._exchange, signal.SIGKILL)
            (self.plan.folder / PORT).unlink()
        if kill.who != "exchange":
            self._ended(self._hedger, signal.SIGKILL)
        if kill.who != "hedger":
            self._exchange = self._started("exchange", self._serving(self._port))
            self._answers()
        if kill.who != "exchange":
            now = self._asked("GET", "/control/status")["now"]
            self._asked("POST", "/control/advance", {"until": now + kill.away})
            self._hedger = self._started("hedger", self._hedging())
        self.verdict.restarts += 1

    def _judged(self) -> None:
        """From the journal, from the exchange's own statement, and from its record run anew."""
        verdict, status = self.verdict, self._asked("GET", "/control/status")
        verdict.faults, verdict.requests, verdict.cancels = status["faults"], status["requests"], status["cancels"]
        statement = self._asked("GET", "/control/statement")
        digest = self._asked("GET", "/control/digest")["digest"]
        with closing(Journal(str(self.journal), readonly=True)) as journal:
            try:
                found, core = heard(configs.load(self._config, f"http://127.0.0.1:{self._port}"), journal)
            except ServeError as error:
                verdict.violations.append(f"replay: {error}")
                return
        verdict.orders, verdict.fills = len(found.sent), statement["fills"]
        verdict.rested = rested(found, statement)
        verdict.state = "" if core.state is None else core.state.risk.name
        verdict.violations += violations(found, statement)
        if verdict.state == "HALTED":
            verdict.violations.append("halted: the hedger waits for a person")
        self._ended(self._exchange, signal.SIGTERM)
        if replayed(self.plan.folder / RECORD, self._heard).digest() != digest:
            verdict.violations.append("replay: the exchange's record does not lead to its state")

    def _heard(self, happened: Sequence[Happening]) -> None:
        self.verdict.dead_man += sum(isinstance(each, Gone) and each.why == "deadman" for each in happened)

    def _asked(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The exchange's answer; empty where there is none."""
        with suppress(OSError, HTTPException, ValueError):
            line = HTTPConnection("127.0.0.1", self._port, timeout=STUCK)
            line.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            answer: dict[str, Any] = json.loads(line.getresponse().read())
            line.close()
            return answer
        return {}

    def _ended(self, process: subprocess.Popen[bytes], how: signal.Signals) -> None:
        if process.poll() is None:
            process.send_signal(how)
            process.wait(timeout=30)

    def _last(self, name: str) -> str:
        """Of what it said since it was started last: why it refused, or else the last line."""
        said = (self.plan.folder / f"{name}.log").read_bytes()[self._begun[name] :].decode(errors="replace")
        lines = said.strip().splitlines() or ["it said nothing"]
        refused = [line for line in lines if line.startswith(REFUSED)]
        return lines[-1][-300:] if "Traceback" in said or not refused else refused[-1][:300]
