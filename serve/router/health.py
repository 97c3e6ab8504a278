"""Which venues take part: one that fails or lags drops out, and comes back after a dwell and a probe."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from pydantic import Field

from envs.calibration import Positive, Section
from serve.clock import SECOND

REMEMBERED = 64  # latencies
RECENT = 0.2  # weight of the newest latency in the mean


class Rules(Section):
    failures: int = Field(gt=0)  # in a row, with which a venue drops out
    latency_seconds: Positive  # beyond which it lags, and an order that nothing is heard of has failed
    quantile: float = Field(gt=0, lt=1)  # of its last latencies, which must not be beyond that
    dwell_seconds: Positive  # out, before it is probed, and between probes

    @property
    def latency(self) -> float:
        """Milliseconds."""
        return self.latency_seconds * SECOND

    @property
    def dwell(self) -> float:
        """Milliseconds."""
        return self.dwell_seconds * SECOND


@dataclass(frozen=True)
class Latency:
    """How long a venue takes to answer, in milliseconds."""

    mean: float | None = None  # exponentially weighted; None: nothing was measured
    last: tuple[float, ...] = ()

    def measured(self, milliseconds: float) -> Latency:
        mean = milliseconds if self.mean is None else self.mean + RECENT * (milliseconds - self.mean)
        return Latency(mean, (*self.last, milliseconds)[-REMEMBERED:])

    def quantile(self, share: float) -> float:
        """The smallest of the last latencies that `share` of them do not exceed; 0 without any."""
        if not self.last:
            return 0.0
        return sorted(self.last)[math.ceil(share * len(self.last)) - 1]


@dataclass(frozen=True)
class Health:
    latency: Latency = field(default_factory=Latency)
    failures: int = 0  # in a row
    out_since: int | None = None  # or since the last failure or probe; None: it takes part
    why: str = ""  # it dropped out

    @property
    def well(self) -> bool:
        return self.out_since is None

    def failed(self, now: int, why: str, rules: Rules) -> Health:
        """One more failure in a row; of a venue that is out the dwell begins anew."""
        failures = self.failures + 1
        out = not self.well or failures >= rules.failures
        return replace(self, failures=failures, out_since=now if out else None, why=why if out else "")

    def answered(self, now: int, milliseconds: float, rules: Rules) -> Health:
        """It did what it was asked to, in so many milliseconds; late answers to what was asked before do not count."""
        if not self.well:
            return self
        latency = self.latency.measured(milliseconds)
        slow = latency.quantile(rules.quantile)
        if len(latency.last) >= rules.failures and slow > rules.latency:
            why = f"it answers in {slow / SECOND:.1f} s, limit {rules.latency_seconds:g} s"
            return replace(self, latency=latency, out_since=now, why=why)
        return replace(self, latency=latency, failures=0)

    def due(self, now: int, rules: Rules) -> bool:
        """Whether it is to be probed."""
        return self.out_since is not None and now - self.out_since >= rules.dwell

    def probed(self, now: int) -> Health:
        return replace(self, out_since=now)

    def timed(self, milliseconds: float, rules: Rules) -> Health:
        """After the answer to a question for the time: who is out is back if it was quick, and on trial.

        Of who is in, it stands for the latency of orders until one was measured.
        """
        if self.well:
            return self if self.latency.last else replace(self, latency=self.latency.measured(milliseconds))
        if milliseconds > rules.latency:
            return self
        return Health(Latency().measured(milliseconds), failures=rules.failures - 1)
