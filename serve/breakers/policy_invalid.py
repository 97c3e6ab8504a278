"""Trips when the policy's answer is missing, late or malformed, or rests on features that it never saw."""

from __future__ import annotations

import math
from typing import ClassVar

from serve.breaker import Asked, Recollection, Trained, View
from serve.clock import SECOND
from serve.events import Inference
from serve.states import BreakerClass, Finding
from serve.threshold import Ceiling


class PolicyInvalid:
    """Judged once per request: on its answer, or when it is overdue."""

    class Settings(Ceiling):
        """Entry and exit: how far a feature is beyond its trained range, as a fraction of the range's width."""

    kind: ClassVar = BreakerClass.POLICY

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def judge(self, view: View, memory: Recollection) -> tuple[Finding | None, Recollection]:
        if view.asked is None:
            return None, memory
        if view.overdue:
            waited = (view.event.time - view.asked.time) / SECOND
            return Finding(True, False, f"no answer to {view.asked.request} within {waited:.1f} s"), memory
        if not isinstance(view.event, Inference):
            return None, memory
        return self._answered(view.event, view.asked, view.trained), memory

    def _answered(self, answer: Inference, asked: Asked, trained: Trained) -> Finding:
        if (fault := action_fault(answer, trained.actions)) is not None:
            return Finding(True, False, fault)
        name, value, excess = furthest(asked.features, trained)
        reason = f"feature {name} is {value:.4g}, {excess:.0%} of its trained width beyond the range"
        return self.settings.finding(excess, reason)


def action_fault(answer: Inference, actions: int) -> str | None:
    """What is wrong with a raw action, in words; None where nothing is."""
    if answer.action is None:
        return f"the policy failed: {answer.error}"
    if len(answer.action) != actions:
        return f"the policy answered {len(answer.action)} numbers, not {actions}"
    wrong = [value for value in answer.action if not (math.isfinite(value) and -1 <= value <= 1)]
    return f"the policy answered {wrong[0]!r}, outside [-1, 1]" if wrong else None


def furthest(features: tuple[float, ...], trained: Trained) -> tuple[str, float, float]:
    """The feature furthest outside its trained range: name, value, and distance over the range's width (0 inside)."""
    ranged = zip(trained.names, features, trained.low, trained.high, strict=True)
    return max(((name, value, _excess(value, low, high)) for name, value, low, high in ranged), key=lambda at: at[2])


def _excess(value: float, low: float, high: float) -> float:
    if not math.isfinite(value):
        return math.inf
    outside = max(low - value, value - high, 0.0)
    return outside / max(high - low, 1e-12) if outside > 0 else 0.0
