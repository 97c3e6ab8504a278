"""When to hold a carry trade: spot, or a perpetual elsewhere, against the perpetual that pays the funding.

The threshold rule of those who trade it by hand, and what a learned policy has to do better than.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from envs.calibration import Finite, Section


class Threshold(Section):
    """Enters where the mean funding of the last `days` is at least `enter`, leaves where it is under `leave`."""

    enter: Finite  # per year
    leave: Finite
    days: int = Field(gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.leave > self.enter:
            raise ValueError(f"leave = {self.leave:g} is above enter = {self.enter:g}; exchange the two")
        return self

    def held(self, funding: float, before: bool) -> bool:
        """Whether to hold it at this mean `funding`, if it was held `before`."""
        return funding >= (self.leave if before else self.enter)
