"""Trips when the venue's records and ours do not agree: one of them is wrong, and a hedge of the wrong book is risk."""

from __future__ import annotations

from typing import ClassVar

from serve.breaker import Recollection, View
from serve.events import BalanceReport, OrdersReport, PositionsReport
from serve.states import BreakerClass, Discipline, Finding
from serve.threshold import newest

REPORTS = {OrdersReport: "orders", PositionsReport: "positions", BalanceReport: "balance"}


class ReconciliationMismatch:
    """Confirmed by a new report of the same kind, as one may have crossed a fill on its way (Nautilus #4517)."""

    Settings: ClassVar = Discipline
    kind: ClassVar = BreakerClass.INTEGRITY

    def __init__(self, settings: Discipline) -> None:
        self.settings = settings

    def judge(self, view: View, memory: Recollection) -> tuple[Finding | None, Recollection]:
        report = REPORTS.get(type(view.event))
        if report is None:
            return None, memory
        agreed = dict.fromkeys(REPORTS.values(), Finding(False, True, "all agrees"))
        wrong = {name: Finding(True, False, words) for name, words in view.mismatches.items()}
        return newest({**agreed, **wrong}, {report}), memory
