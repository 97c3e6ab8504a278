"""Trips on money lost since the start, or since the best moment."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import model_validator

from envs.calibration import Positive
from serve.breaker import Recollection, View
from serve.events import QuoteEvent
from serve.states import BreakerClass, Discipline, Finding


class Loss:
    """The recollection is the highest profit seen; profit counts the option at its mark."""

    class Settings(Discipline):
        entry_loss: Positive  # quote currency
        exit_loss: Positive
        entry_drawdown: Positive  # quote currency, from the highest profit
        exit_drawdown: Positive

        @model_validator(mode="after")
        def _ordered(self) -> Self:
            if self.exit_loss > self.entry_loss or self.exit_drawdown > self.entry_drawdown:
                raise ValueError("an exit must not exceed its entry")
            return self

    kind: ClassVar = BreakerClass.LIMITS

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def judge(self, view: View, memory: Recollection) -> tuple[Finding | None, Recollection]:
        if view.profit is None or not isinstance(view.event, QuoteEvent):
            return None, memory
        peak = max(view.profit, memory[0] if memory else 0.0)
        limits, loss, drawdown = self.settings, -view.profit, peak - view.profit
        reason = (
            f"loss {loss:,.0f} and drawdown {drawdown:,.0f}, "
            f"limits {limits.entry_loss:,.0f} and {limits.entry_drawdown:,.0f}"
        )
        breached = loss > limits.entry_loss or drawdown > limits.entry_drawdown
        clear = loss <= limits.exit_loss and drawdown <= limits.exit_drawdown
        return Finding(breached, clear, reason), (peak,)
