"""What the delta hedge of the same book would have made: the yardstick beside the hedge that is real."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Decimal

from serve.exposure import exact
from serve.ledger import ZERO
from serve.runner import Core
from serve.shadowing import Shadower
from serve.state import Shadow, State


class Baseline:
    """Hedges with the assets' perpetuals whenever the hedger decides, filled at once in the shared model."""

    def __init__(self) -> None:
        self.shadow: Shadow | None = None

    def decided(self, core: Core) -> None:
        """Black–Scholes delta of every asset that is quoted, at the quotes of the decision."""
        engine, state = core.engine, core.state
        if engine is None or state is None or len(state.valuations) < len(state.pasts):
            return
        shadower, shadow = Shadower(engine.setup), self._paid(core, state)
        trades = tuple(self._trade(core, state, shadow, symbol) for symbol in engine.setup.market.symbols)
        if any(trades):
            shadow = shadower.filled(shadow, engine.decider.sight(state), trades)
        self.shadow = shadow

    def accrued(self, core: Core) -> None:
        """A bar's funding."""
        if self.shadow is not None and core.state is not None:
            self.shadow = replace(self._paid(core, core.state), began=dict(core.state.quotes))

    def ahead(self, core: Core) -> float:
        """Its profit less the hedger's, quote currency; 0 before the first decision."""
        if self.shadow is None or core.engine is None or core.state is None:
            return 0.0
        return Shadower(core.engine.setup).ahead(core.state, self.shadow)

    def _paid(self, core: Core, state: State) -> Shadow:
        """Taken up with the hedger's own ledger, so that both begin alike."""
        assert core.engine is not None, "called within a session"
        if self.shadow is None:
            return Shadow("", state.ledger, began=dict(state.quotes), paid_at=state.time)
        return Shadower(core.engine.setup).paid(state, self.shadow)

    def _trade(self, core: Core, state: State, shadow: Shadow, symbol: str) -> Decimal:
        assert core.engine is not None, "called within a session"
        market = core.engine.setup.market
        asset = market.asset_of[symbol]
        if not market.pays_funding(symbol) or not state.book.holdings:
            return -shadow.ledger.position(symbol)
        valuation, coins = state.valuations[asset], state.ledger.coins.get(asset, ZERO)
        wanted = exact(state.targets[asset].delta - valuation.book.delta) - coins
        position = wanted / exact(valuation.legs[symbol].delta)
        lot = next(leg.lot for leg in market.legs if leg.symbol == symbol)
        rounded = (position / lot).to_integral_value(ROUND_HALF_EVEN) * lot
        return rounded - shadow.ledger.position(symbol)
