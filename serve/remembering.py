"""The filters' memories: they advance on the bar grid, on closes that follow one another, and on nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from envs.volatility.memory import Memory
from serve.events import BarClosed, History
from serve.frozen import replace
from serve.market import Market
from serve.state import Past, State
from serve.states import Monitor, RiskState


@dataclass(frozen=True)
class Rememberer:
    market: Market
    warmup_bars: int

    def initial(self, asset: int) -> Past:
        """Nothing seen yet."""
        return self._past(asset, self.market.filters[asset].initial(1), None, 0)

    def warmed(self, state: State, event: History) -> State:
        """A history that ended two bars ago or earlier does not count as warmth: the market has moved on since."""
        asset = self.market.assets[event.asset]
        memory = self.market.remembered(asset, event.closes)
        if event.time - event.ended >= 2 * self.market.bar:
            memory = replace(memory, bars=memory.bars * 0)
        past = self._past(asset, memory, event.closes[-1], event.ended)
        return self.cold(replace(state, pasts={**state.pasts, event.asset: past}))

    def bar_closed(self, state: State, event: BarClosed) -> State:
        pasts = {name: self._closed(state, name, past, event.ended) for name, past in state.pasts.items()}
        return self.cold(replace(state, pasts=pasts))

    def cold(self, state: State) -> State:
        """With the monitor that keeps the policy out until every filter is warm."""
        bars = min(int(past.memory.bars) for past in state.pasts.values())
        words = f"the filter has seen {bars} of {self.warmup_bars} bars"
        monitor = Monitor() if bars >= self.warmup_bars else Monitor(RiskState.FALLBACK, reason=words)
        return replace(state, monitors={**state.monitors, "warm_up": monitor})

    def _closed(self, state: State, name: str, past: Past, ended: int) -> Past:
        """A gap pauses the memory, and no return spans it; a bar that was counted is not counted again."""
        quote, asset = state.trusted.get(name), self.market.assets[name]
        if ended <= past.ended:
            return past
        if quote is None or quote.quoted_at <= ended - self.market.bar:
            return replace(past, spot=None)
        if past.spot is None or ended - past.ended != self.market.bar:
            return replace(past, spot=quote.spot, ended=ended)
        memory = self.market.advanced(asset, past.memory, past.spot, quote.spot)
        return self._past(asset, memory, quote.spot, ended)

    def _past(self, asset: int, memory: Memory, spot: float | None, ended: int) -> Past:
        market = self.market
        return Past(memory, spot, ended, market.volatility(asset, memory), market.intensity(asset, memory))
