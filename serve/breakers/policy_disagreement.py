"""Trips when the policy trades far from the analytic hedge: it may be right, but no person has said so."""

from __future__ import annotations

from typing import ClassVar

from serve.breaker import Recollection, View
from serve.states import BreakerClass, Finding
from serve.threshold import Ceiling


class PolicyDisagreement:
    """Once for each answer, in trades over base units; answers that are not followed count too, or none recovered.

    The recollection is when the last answer was that has been judged.
    """

    class Settings(Ceiling):
        """Entry and exit: the largest |policy trade less the analytic one| of a leg, over base units."""

    kind: ClassVar = BreakerClass.POLICY

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def judge(self, view: View, memory: Recollection) -> tuple[Finding | None, Recollection]:
        if view.disagreement is None or memory == (view.disagreement[0],):
            return None, memory
        when, apart = view.disagreement
        words = f"the policy is {apart:.0%} of the book from the analytic hedge, limit {self.settings.entry:.0%}"
        return self.settings.finding(apart, words), (float(when),)
