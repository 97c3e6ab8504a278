"""The listed implied volatilities of one asset as the surface that book and hedges are priced at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import Tensor

from envs.calibration import IMPLIED_HOURS
from envs.instrument import View
from envs.types import HOUR, Quote
from envs.volatility.memory import Memory

Point = tuple[int, float, float]  # expiry in milliseconds, strike, volatility per √year


@dataclass(frozen=True, eq=False)
class Smile:
    """Listed volatilities, placed in the market in which they were listed.

    An option has the volatility that the model gives it there, times the ratio of listed to modelled volatility: its
    logarithm linear in ln strike, then in time to expiry, and flat outside. So a listed option has what is listed,
    and where the list is the model's own every option has the model's.
    """

    listed_in: View  # one path, the model's surface
    expiries: tuple[int, ...]  # rising
    strikes: Tensor  # (E, M) ln strike, rising; a short row repeats its last
    ratios: Tensor  # (E, M) ln(listed over modelled volatility)

    @classmethod
    def of(cls, points: Sequence[Point], listed_in: View, now: int, bar: int) -> Smile:
        """`bar` and `now` in milliseconds."""
        rows = [list(row) for _, row in groupby(sorted(points), key=lambda point: point[0])]
        longest = max(map(len, rows))
        padded = [row + [row[-1]] * (longest + 1 - len(row)) for row in rows]
        expiries = tuple(row[0][0] for row in rows)
        like = listed_in.quote.spot
        strikes, listed = (like.new_tensor([[point[k] for point in row] for row in padded]) for k in (1, 2))
        bars = torch.tensor([_bars(expiry, now, bar) for expiry in expiries])[:, None].expand(strikes.shape)
        modelled = _modelled(listed_in, strikes.reshape(1, -1), bars.reshape(1, -1))
        return cls(listed_in, expiries, strikes.log(), (listed / modelled.view(strikes.shape)).log())

    def seen(self, view: View, now: int, bar: int) -> View:
        """The market of `view` with this surface, and its implied volatility at the money over 30 days."""
        return ListedSurface(self, torch.tensor(self.bars(now, bar), dtype=view.quote.spot.dtype)).seen(view)

    def bars(self, now: int, bar: int) -> tuple[int, ...]:
        """To each expiry, the last one twice; `now` and `bar` in milliseconds."""
        each = [_bars(expiry, now, bar) for expiry in self.expiries]
        return (*each, each[-1])


class ListedSurface:
    """A smile at one time, as `envs.surface.Surface`: what differs from path to path is the level alone."""

    def __init__(self, smile: Smile, bars: Tensor) -> None:
        """`bars` (E + 1,): to each expiry, the last one twice."""
        self._smile, self._bars = smile, bars
        self._model = smile.listed_in.surface
        month = torch.tensor([[round(IMPLIED_HOURS * HOUR / smile.listed_in.bar)]])
        self.level = self._volatility(smile.listed_in.quote.spot[:, None], month)[:, 0]  # (1,)

    def seen(self, view: View) -> View:
        """The market of `view` with this surface, and its implied volatility at the money over 30 days."""
        return replace(view, surface=self, quote=replace(view.quote, implied_volatility=self.level))

    def volatility(self, quote: Quote, memory: Memory, strike: Tensor, bars_left: Tensor) -> Tensor:
        """As listed where `quote` has the surface's own implied volatility; else as many times as high.

        The terms are those of the first path: a book's, the same on all.
        """
        return self._volatility(strike[:1], bars_left[:1]) * (quote.implied_volatility / self.level)[:, None]

    def implied_after(self, quote: Quote, memory: Memory, log_return: float) -> Tensor:
        """As the model says."""
        return self._model.implied_after(quote, memory, log_return)

    def half_spread(self, delta: Tensor) -> Tensor:
        """As the model says."""
        return self._model.half_spread(delta)

    def _volatility(self, strike: Tensor, bars_left: Tensor) -> Tensor:
        """(1, n) both, and so is what is returned."""
        smile, count = self._smile, strike.shape[1]
        knots = (len(smile.strikes), count)
        each = between(smile.strikes, smile.ratios, strike.log().expand(knots).contiguous())
        rows = torch.cat([each, each[-1:]]).T.contiguous()
        ratio = between(self._bars.expand(count, -1), rows, bars_left.to(strike.dtype).T.contiguous())
        return _modelled(smile.listed_in, strike, bars_left) * ratio.T.exp()


def between(knots: Tensor, values: Tensor, at: Tensor) -> Tensor:
    """(R, n): row by row `values` (R, M) at `at` (R, n), linear between rising `knots` (R, M), flat outside."""
    right = torch.searchsorted(knots.contiguous(), at).clamp(1, knots.shape[1] - 1)
    low, high = knots.gather(1, right - 1), knots.gather(1, right)
    share = ((at - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    return torch.lerp(values.gather(1, right - 1), values.gather(1, right), share)


def _modelled(view: View, strike: Tensor, bars_left: Tensor) -> Tensor:
    return view.surface.volatility(view.quote, view.memory, strike, bars_left)


def _bars(expiry: int, now: int, bar: int) -> int:
    """A bar begun counts whole, as for the book's own options."""
    return max(0, -(-(expiry - now) // bar))
