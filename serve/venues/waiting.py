"""Orders at the paper venue that have not ended: on their way, late, or resting in the book."""

from __future__ import annotations

from collections.abc import Iterable

from serve.commands import SubmitOrder
from serve.venues.matching import Resting


class Waiting:
    def __init__(self) -> None:
        self.coming: dict[str, SubmitOrder] = {}  # on their way to the book
        self.late: dict[str, SubmitOrder] = {}  # to fill when the bar ends
        self.resting: dict[str, Resting] = {}

    @property
    def working(self) -> dict[str, SubmitOrder]:
        """What the venue has taken."""
        return {**self.late, **{name: each.order for name, each in self.resting.items()}}

    def arrived(self, now: int, latency: int) -> list[SubmitOrder]:
        """The orders that have reached the book by now, which are on their way no more."""
        due = [order for order in self.coming.values() if order.time + latency <= now]
        for order in due:
            del self.coming[order.order]
        return due

    def ended_bar(self) -> list[SubmitOrder]:
        """The late orders, which are late no more."""
        late, self.late = list(self.late.values()), {}
        return late

    def expired(self, now: int) -> list[str]:
        return [name for name, each in self.resting.items() if each.order.expires_at < now]

    def dropped(self, names: Iterable[str]) -> list[str]:
        """Those of the orders that the venue had taken, and now has no more."""
        had = [name for name in names if name in self.late or name in self.resting]
        for name in had:
            self.late.pop(name, None)
            self.resting.pop(name, None)
        return had
