"""Real history replayed: recorded prices and funding, with the marks that the filter would have made on the way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from envs import marks
from envs.calibration import Calibration
from envs.types import BadInput, Quote, taken
from envs.volatility.memory import Filter, Memory


@dataclass(frozen=True)
class State:
    place: Tensor  # (P,) row of the record, int64


class ReplayMarket:
    """Windows of one recorded market. No book and no implied volatility were recorded: `marks` models both."""

    def __init__(
        self, calibration: Calibration, filter: Filter, spot: Tensor, usable: Tensor, funding_rate: Tensor
    ) -> None:
        """All (T,): prices, whether the return into a bar may be used, funding per year."""
        self.calibration, self.filter = calibration, filter
        self.spot, self.usable, self.funding_rate = spot, usable, funding_rate
        self.memory = _stacked(self._remembered())

    def initial(self, paths: int) -> tuple[State, Memory]:
        """The first `paths` bars of the record."""
        return self.at(torch.arange(paths, device=self.spot.device))

    def at(self, place: Tensor) -> tuple[State, Memory]:
        """Paths that start at the rows `place` (P,), with all that was remembered by then."""
        return State(place), taken(self.memory, place)

    def step(self, state: State, memory: Memory) -> tuple[State, Memory, Quote]:
        place = state.place + 1
        if int(place.max()) >= len(self.spot):
            raise BadInput(f"the record ends after {len(self.spot)} bars; start the windows earlier")
        after, memory = self.at(place)
        return after, memory, self.quote(after, memory)

    def quote(self, state: State, memory: Memory) -> Quote:
        spot = self.spot[state.place]
        return marks.quote(self.calibration, self.filter, memory, spot, spot, self.funding_rate[state.place])

    def whole_windows(self, bars: int, every: int) -> Tensor:
        """Rows from which `bars` returns are all usable, one in `every`."""
        bad = torch.cat([self.usable.new_zeros(1), ~self.usable]).to(torch.int64).cumsum(0)
        starts = torch.arange(0, max(0, len(self.spot) - bars), every, device=self.spot.device)
        return starts[bad[starts + bars + 1] == bad[starts + 1]]

    def _remembered(self) -> Iterable[Memory]:
        """The memory after each bar; an unusable return leaves it as it was."""
        memory = self.filter.initial(1)
        yield memory
        returns = torch.log(self.spot[1:] / self.spot[:-1])
        for usable, log_return in zip(self.usable[1:].tolist(), returns[:, None], strict=True):
            memory = self.filter.update(memory, log_return) if usable else memory
            yield memory


def _stacked(memories: Iterable[Memory]) -> Memory:
    rows = list(memories)
    return Memory(*(torch.cat([getattr(row, field.name) for row in rows]) for field in fields(Memory)))
