"""Reports of several venues, gathered until each has told; one that is out stands for a while as it last told."""

from __future__ import annotations

from collections.abc import Collection

from serve.router.reports import Report, combined


class Gathering:
    def __init__(self, venues: Collection[str], outage: float) -> None:
        """`outage`: milliseconds for which a venue's last report may stand in for it."""
        self._venues, self._outage = venues, outage
        self._last: dict[type[Report], dict[str, Report]] = {}
        self._fresh: dict[type[Report], set[str]] = {}

    def told(self, venue: str, report: Report, out: Collection[str]) -> tuple[Report, ...]:
        """All the venues' reports of the kind as one, once every venue that is not `out` has told anew."""
        kind, now = type(report), report.time
        last, fresh = self._last.setdefault(kind, {}), self._fresh.setdefault(kind, set())
        last[venue] = report
        fresh.add(venue)
        if not all(name in fresh or (name in out and self._stands(kind, name, now)) for name in self._venues):
            return ()
        fresh.clear()
        return (combined([last[name] for name in self._venues], now),)

    def _stands(self, kind: type[Report], venue: str, now: int) -> bool:
        report = self._last[kind].get(venue)
        return report is not None and now - report.time <= self._outage
