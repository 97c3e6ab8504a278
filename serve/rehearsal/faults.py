"""What goes wrong at a venue, and when: a seeded schedule over the exchange's time, and a list of what has struck."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from random import Random

from envs.types import BadInput
from serve.clock import DAY, HOUR, SECOND

MINUTE = 60 * SECOND
QUIET = HOUR  # at the end, so that what was broken last can mend


@dataclass(frozen=True)
class Kind:
    per_day: float
    lasts: int  # milliseconds; 0: it strikes once, at the first occasion
    what: str


KINDS = {
    "reply_lost": Kind(2, 0, "an order or a cancel is taken, and its reply never comes"),
    "reply_truncated": Kind(3, 0, "... its reply ends in the middle"),
    "reply_delayed": Kind(4, 0, "... its reply comes late, by a fifth of a second on the wall"),
    "reply_html": Kind(3, 0, "... its reply is a page of HTML with status 200"),
    "reply_502": Kind(3, 0, "... its reply is a page of HTML with status 502"),
    "connection_dropped": Kind(3, 0, "... its connection is cut"),
    "request_lost": Kind(3, 0, "a request is cut off before the exchange has seen it"),
    "rate_limited": Kind(2, 3 * MINUTE, "every other request is one too many"),
    "disconnected": Kind(3, 0, "every websocket is closed"),
    "stalled": Kind(3, 0, "the websockets that are open stay open, and nothing comes any more"),
    "gap": Kind(4, 0, "a change of a book is never sent, and the next bears the number after it"),
    "ghost": Kind(4, 0, "a level is gone from the book, and nobody is told"),
    "crossed": Kind(3, 0, "a bid above the best ask is shown"),
    "fill_doubled": Kind(4, 0, "a fill is told twice"),
    "fill_swapped": Kind(4, 0, "fills and orders are told the last first"),
    "fill_early": Kind(4, 0, "the fill is told before the order is answered"),
    "cancel_lost": Kind(3, 0, "a cancel is taken, and its reply never comes"),
    "cancel_late": Kind(4, 0, "an order that rests is taken just before its cancel arrives"),
    "clock_skewed": Kind(2, 10 * MINUTE, "the venue's clock is a second or two off"),
    "book_thin": Kind(3, 5 * MINUTE, "next to nothing rests in the book: orders fill in part"),
    "price_band": Kind(4, 0, "an order is refused for its price"),
    "maintenance": Kind(1, 4 * MINUTE, "no order is taken"),
}
CANCEL = "cancel "  # begins what is told of a fault that befell the reply to a cancel
THIN = 0.01  # share of the depth that is left
SKEW = 1_900  # milliseconds at most: by more than 2 s the shipped settings halt, and wait for a person


@dataclass(frozen=True)
class Fault:
    kind: str
    at: int
    until: int  # as `at` where it strikes once
    size: float = 1.0  # -1 to 1, of those that have one


def chosen(text: str) -> tuple[str, ...]:
    """`all`, `none`, or names between commas. Raises BadInput."""
    names = {"all": tuple(KINDS), "none": ()}.get(text, tuple(name.strip() for name in text.split(",")))
    if unknown := [name for name in names if name not in KINDS]:
        raise BadInput(f"--faults {unknown[0]}: no such fault; have all, none, {', '.join(KINDS)}")
    return names


def schedule(names: Iterable[str], seed: int, start: int, end: int) -> tuple[Fault, ...]:
    """In order of time. Each of `names` comes about as often a day as its kind says, and once at least."""
    draws, plan = Random(f"faults {seed}"), []
    for name in sorted(names):
        kind = KINDS[name]
        for _ in range(max(1, round(kind.per_day * (end - start) / DAY))):
            at = draws.randrange(start, max(end - QUIET, start + 1))
            plan.append(Fault(name, at, at + kind.lasts, draws.uniform(-1, 1)))
    return tuple(sorted(plan, key=lambda each: each.at))


@dataclass(frozen=True)
class Strike:
    time: int
    kind: str
    detail: str


class Faults:
    """Those to come, and those that struck, which a file keeps across a kill."""

    def __init__(self, plan: Sequence[Fault], path: Path) -> None:
        self.struck = [Strike(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []
        self._file = path.open("a")
        past = Counter(strike.kind for strike in self.struck)
        self._windows = [fault for fault in plan if KINDS[fault.kind].lasts]
        self._once: dict[str, list[Fault]] = {}
        for fault in plan:
            if not KINDS[fault.kind].lasts:
                self._once.setdefault(fault.kind, []).append(fault)
        for kind, waiting in self._once.items():
            del waiting[: past[kind]]

    def close(self) -> None:
        self._file.close()

    @property
    def counts(self) -> dict[str, int]:
        return dict(sorted(Counter(strike.kind for strike in self.struck).items()))

    @property
    def cancels(self) -> int:
        """How many befell the reply to a cancel."""
        return sum(strike.detail.startswith(CANCEL) for strike in self.struck)

    def add(self, fault: Fault) -> None:
        """One more, by hand. Raises BadInput."""
        if fault.kind not in KINDS:
            raise BadInput(f"no fault {fault.kind!r}; have {', '.join(KINDS)}")
        if KINDS[fault.kind].lasts:
            self._windows.append(fault)
        else:
            self._once.setdefault(fault.kind, []).append(fault)

    def strikes(self, kind: str, now: int, detail: str = "") -> bool:
        """Whether it strikes on this occasion; once for each that is due."""
        waiting = self._once.get(kind)
        if not waiting or waiting[0].at > now:
            return False
        waiting.pop(0)
        self._note(kind, now, detail)
        return True

    def lasting(self, kind: str, now: int, detail: str = "") -> Fault | None:
        """The one of this kind that lasts now; it is counted when it is met first."""
        found = next((each for each in self._windows if each.kind == kind and each.at <= now < each.until), None)
        if found is not None and not any(met.kind == kind and met.time >= found.at for met in self.struck):
            self._note(kind, now, detail)
        return found

    def _note(self, kind: str, now: int, detail: str) -> None:
        strike = Strike(now, kind, detail)
        self.struck.append(strike)
        self._file.write(json.dumps(asdict(strike)) + "\n")
        self._file.flush()


def beyond(best: Decimal, tick: Decimal) -> Decimal:
    """A bid that crosses an ask of `best`."""
    return ((best * Decimal("1.002")) / tick).to_integral_value() * tick
