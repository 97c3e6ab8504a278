"""Where the profit came from: greeks times what the market did, costs, funding, and the desk's own trades.

Between two changes of ledger or book nothing is traded, so the greeks at the beginning say what each move was worth
(delta·dS + ½·gamma·dS² + vega·dσ); the rest is the passing of time, the skew and the terms
beyond. What the profit jumps by at a change is what the change cost. The parts add up to the profit, whatever happens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from serve.events import BarClosed, Event
from serve.exposure import net, profit
from serve.ledger import ZERO
from serve.state import State

PARTS = ("delta", "gamma", "vega", "rest", "spread", "fees", "funding", "book")


@dataclass(frozen=True)
class _Stand:
    """At the beginning of a stretch without a trade."""

    profit: float
    spots: dict[str, float]
    volatilities: dict[str, float]  # implied, of the quotes
    greeks: dict[str, tuple[float, float, float]]  # per asset, as `Net` has them


@dataclass
class Attribution:
    """Quote currency, since the start."""

    parts: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    _stand: _Stand | None = None

    def followed(self, event: Event, before: State | None, after: State | None) -> None:
        """One event more, with the states around it."""
        if after is None or (self._stand is not None and not _changed(event, before, after)):
            return
        was, now = None if before is None else profit(before), profit(after)
        if now is None:
            return
        if self._stand is None:
            self._put("book", now)
        elif was is None:  # taken up again: whatever the market did meanwhile
            self._moved(self._stand, after, now)
        else:
            assert before is not None, "it has a profit"
            self._moved(self._stand, before, was)
            self._jumped(before, after, now - was)
        self._stand = _standing(after, now)

    def _moved(self, stand: _Stand, state: State, made: float) -> None:
        """What the market did since, with nothing traded."""
        named = 0.0
        for asset, (delta, gamma, vega) in stand.greeks.items():
            quote, spot = state.quotes[asset], stand.spots[asset]
            move, points = quote.spot - spot, 100 * (quote.implied_volatility - stand.volatilities[asset])
            for part, own in (("delta", delta * move), ("gamma", 50 * gamma * move**2 / spot), ("vega", vega * points)):
                self._put(part, own)
                named += own
        self._put("rest", made - stand.profit - named)

    def _jumped(self, before: State, after: State, made: float) -> None:
        """What the change itself cost, at the same quotes."""
        fees, funding = (_summed(after, name) - _summed(before, name) for name in ("fees", "funding"))
        self._put("fees", -fees)
        self._put("funding", funding)
        self._put("spread" if before.book is after.book else "book", made + fees - funding)

    def _put(self, part: str, made: float) -> None:
        self.parts[part] += made


def _changed(event: Event, before: State | None, after: State) -> bool:
    traded = before is None or before.ledger is not after.ledger or before.book is not after.book
    return traded or isinstance(event, BarClosed)


def _standing(state: State, made: float) -> _Stand:
    nets = {name: net(state, each, float(state.ledger.coins.get(name, 0))) for name, each in state.valuations.items()}
    return _Stand(
        made,
        {name: state.quotes[name].spot for name in nets},
        {name: state.quotes[name].implied_volatility for name in nets},
        {name: (each.delta, each.gamma, each.vega) for name, each in nets.items()},
    )


def _summed(state: State, name: str) -> float:
    return float(sum((getattr(account, name) for account in state.ledger.accounts.values()), ZERO))
