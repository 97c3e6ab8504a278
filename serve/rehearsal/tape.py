"""What an instrument has traded, for those who look back: trades, candles of a minute, the day's volume."""

from __future__ import annotations

from collections import deque
from decimal import Decimal

from serve.clock import DAY
from serve.rehearsal.types import ZERO, Printed
from serve.rehearsal.views import Candle, Funding

MINUTE = 60_000
KEPT = 1_000  # trades


class Tape:
    def __init__(self) -> None:
        self.trades: deque[Printed] = deque(maxlen=KEPT)
        self.minutes: list[Candle] = []
        self.fundings: list[Funding] = []
        self.volume = ZERO  # base units traded in the last 24 hours
        self._day = deque[tuple[int, Decimal]]()

    def marked(self, time: int, price: Decimal) -> None:
        """A minute opens at the mark."""
        start = time - time % MINUTE
        if not self.minutes or self.minutes[-1].time < start:
            self.minutes.append(Candle(start, price, price, price, price, ZERO))
        while self._day and self._day[0][0] <= time - DAY:
            self.volume -= self._day.popleft()[1]

    def traded(self, trade: Printed) -> None:
        self.trades.append(trade)
        self.marked(trade.time, trade.price)
        self._day.append((trade.time, trade.size))
        self.volume += trade.size
        price, last = trade.price, self.minutes[-1]
        high, low = max(last.high, price), min(last.low, price)
        self.minutes[-1] = Candle(last.time, last.open, high, low, price, last.volume + trade.size)

    def candles(self, since: int, interval: int) -> tuple[Candle, ...]:
        """Those that start at `since` or later, oldest first; `interval` in milliseconds, whole minutes."""
        made: list[Candle] = []
        for one in self.minutes:
            start = one.time - one.time % interval
            if start < since:
                continue
            if made and made[-1].time == start:
                made[-1] = _joined(made[-1], one)
            else:
                made.append(Candle(start, one.open, one.high, one.low, one.close, one.volume))
        return tuple(made)


def _joined(one: Candle, later: Candle) -> Candle:
    high, low = max(one.high, later.high), min(one.low, later.low)
    return Candle(one.time, one.open, high, low, later.close, one.volume + later.volume)
