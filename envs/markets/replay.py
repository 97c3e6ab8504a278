"""Real history replayed: recorded prices and funding, with the marks that the filter would have made on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Generator, Tensor

from envs import marks, recording
from envs.recording import Recording
from envs.surface import ForecastSurface, Surface
from envs.types import BadInput, Quote, taken
from envs.volatility.memory import Filter, Memory


@dataclass(frozen=True)
class State:
    place: Tensor  # (P,) row of the record, int64


class ReplayMarket:
    """Windows of recorded markets. No book and no implied volatility were recorded: `marks` models both."""

    drift = 0.0  # of the forward, per year
    renewed = False  # it goes on from one episode to the next

    class Settings(recording.History):
        """Which history."""

    def __init__(
        self,
        settings: ReplayMarket.Settings,
        horizon: int,
        generator: Generator,
        dtype: torch.dtype,
        device: torch.device,
        record: Recording | None = None,
    ) -> None:
        """`horizon`: bars of the longest forecast and of `initial`'s windows; `record`: in place of the files named."""
        self.calibrations, self.horizon, self.generator = settings.assets, horizon, generator
        self.filters = tuple(Filter(asset, dtype, device, horizon) for asset in settings.assets)
        self.surfaces: tuple[Surface, ...] = tuple(
            ForecastSurface(*pair) for pair in zip(settings.assets, self.filters, strict=True)
        )
        self.record = settings.recording(dtype, device) if record is None else record
        self.memories = tuple(_stacked(self._remembered(a)) for a in range(len(self.filters)))

    def initial(self, paths: int) -> tuple[State, tuple[Memory, ...]]:
        """Starts drawn from the rows that `horizon` usable returns follow."""
        starts = self.whole_windows(self.horizon, 1)
        if not len(starts):
            raise BadInput(f"the record has no {self.horizon} usable bars in a row; bring more, or shorten the horizon")
        pick = torch.randint(len(starts), (paths,), generator=self.generator, device=starts.device)
        return self.at(starts[pick])

    def at(self, place: Tensor) -> tuple[State, tuple[Memory, ...]]:
        """Paths that start at the rows `place` (P,), with all that was remembered by then."""
        return State(place), taken(self.memories, place)

    def step(self, state: State, memories: tuple[Memory, ...]) -> tuple[State, tuple[Memory, ...], tuple[Quote, ...]]:
        """Raises BadInput past the end of the record."""
        place = state.place + 1
        if int(place.max()) >= len(self.record.spot):
            raise BadInput(f"the record ends after {len(self.record.spot)} bars; start the windows earlier")
        after, memories = self.at(place)
        return after, memories, self.quote(after, memories)

    def quote(self, state: State, memories: tuple[Memory, ...]) -> tuple[Quote, ...]:
        seen = taken(self.record, state.place)
        return marks.quotes(
            self.calibrations,
            self.filters,
            memories,
            spot=seen.spot,
            low=seen.low,
            high=seen.high,
            mark=seen.spot,
            funding_rate=seen.funding_rate,
        )

    def whole_windows(self, bars: int, every: int) -> Tensor:
        """Rows from which `bars` returns are all usable, one in `every`."""
        usable = self.record.usable
        bad = torch.cat([usable.new_zeros(1), ~usable]).to(torch.int64).cumsum(0)
        starts = torch.arange(0, max(0, len(usable) - bars), every, device=usable.device)
        return starts[bad[starts + bars + 1] == bad[starts + 1]]

    def _remembered(self, asset: int) -> Iterator[Memory]:
        """The memory after each bar; an unusable return leaves it as it was."""
        filter, spot = self.filters[asset], self.record.spot[:, asset]
        memory = filter.initial(1)
        yield memory
        returns = torch.log(spot[1:] / spot[:-1])
        for usable, log_return in zip(self.record.usable[1:].tolist(), returns[:, None], strict=True):
            memory = filter.update(memory, log_return) if usable else memory
            yield memory


def _stacked(memories: Iterator[Memory]) -> Memory:
    rows = list(memories)
    return Memory(*(torch.cat([getattr(row, field.name) for row in rows]) for field in fields(Memory)))
