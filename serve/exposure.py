"""The book and its hedges together: profit and greeks as they stand, and in the worst case over orders in flight."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from serve.ledger import ZERO
from serve.limits import UNBOUNDED, Limit, Limits, Measure
from serve.market import Market
from serve.state import State
from serve.valuation import Valuation

GREEKS = ("delta", "gamma", "vega")


@dataclass(frozen=True)
class Net:
    """Of one asset."""

    delta: float
    gamma: float
    vega: float
    stress_loss: float  # in the worst case, 0 or more


def net(state: State, valuation: Valuation, coins: float) -> Net:
    """Book, coins and hedges of one asset as they stand."""
    held = {symbol: float(state.ledger.position(symbol)) for symbol in valuation.legs}
    delta, gamma, vega = (
        getattr(valuation.book, name) + sum(held[s] * getattr(leg, name) for s, leg in valuation.legs.items())
        for name in GREEKS
    )
    worst = min(
        (cell + sum(held[s] * leg.stress[j] for s, leg in valuation.legs.items()))
        for j, cell in enumerate(valuation.book.stress)
    )
    return Net(delta + coins, gamma, vega, max(0.0, -worst))


def within(state: State, asset: str) -> bool:
    """Whether an asset's net delta is as near its target as its thresholds ask."""
    target, valuation = state.targets[asset], state.valuations[asset]
    if target.above == 0 and target.below == 0:
        return False
    coins = float(state.ledger.coins.get(asset, 0))
    whole = net(state, valuation, coins).delta
    off = whole - (1 - target.hedge_ratio) * (valuation.book.delta + coins) - target.delta
    return -target.below <= off <= target.above


def profit(state: State) -> float | None:
    """Since the start, book and hedges at their marks, quote currency; None before every asset is quoted."""
    if len(state.valuations) < len(state.pasts):
        return None
    hedges = sum((account.worth(state.mark(name)) for name, account in state.ledger.accounts.items()), ZERO)
    book = sum(each.book.value for each in state.valuations.values())
    coins = sum(float(units) * state.valuations[asset].spot for asset, units in state.ledger.coins.items())
    return float(state.ledger.book + hedges) + book + coins


class Limited:
    """What an order for a leg is measured on."""

    def __init__(self, market: Market, limits: Limits) -> None:
        self._market, self._limits = market, limits
        legs = [f"{kind}:{symbol}" for symbol in market.symbols for kind in ("order", "position")]
        greeks = [f"{greek}:{asset}" for asset in market.assets for greek in GREEKS]
        self.names = frozenset(
            [*legs, *greeks, "stress_loss", "notional", "order_value"]
        )  # of what a person may override

    def share(self, state: State) -> Decimal:
        """How much of the soft limits on orders, positions and notional is open by now."""
        return self._limits.deployment.grown(state.good_bars, self._market.bar)

    def position(self, state: State, symbol: str) -> Measure:
        low, high = self._range(state, symbol, Decimal(1))
        limit = self._limits.legs[symbol].position.ramped(self.share(state))
        return Measure(f"position:{symbol}", low, high, Decimal(1), limit.soft, limit.hard)

    def measures(self, state: State, symbol: str) -> tuple[Measure, ...]:
        """Greeks of the leg's asset, stress loss and notional."""
        asset = self._market.asset_of[symbol]
        valuation = state.valuations[asset]
        greeks = [each for name in GREEKS for each in self._greek(state, asset, valuation, symbol, name)]
        stress = self._stress(state, asset, valuation, symbol)
        return (*greeks, *stress, self._notional(state, symbol))

    def margin(self, state: State, symbol: str) -> tuple[Measure, ...]:
        """The margin's cap on the leg, while there is one."""
        if (cap := state.care.cap(symbol)) is None:
            return ()
        return (Measure(f"margin:{symbol}", *self._range(state, symbol, Decimal(1)), Decimal(1), cap.units, cap.units),)

    def _greek(self, state: State, asset: str, valuation: Valuation, symbol: str, name: str) -> list[Measure]:
        """From its target, and where that is not 0 on the whole too, which no target takes beyond the hard limit."""
        limit: Limit = getattr(self._limits.assets[asset], name)
        coins = state.ledger.coins.get(asset, ZERO) if name == "delta" else ZERO
        target = exact(getattr(state.targets[asset], name))
        low = high = exact(getattr(valuation.book, name)) + coins
        for each, leg in valuation.legs.items():
            bottom, top = self._range(state, each, exact(getattr(leg, name)))
            low, high = low + bottom, high + top
        own = exact(getattr(valuation.legs[symbol], name))
        whole = Measure(f"{name}:{asset}", low, high, own, limit.hard, limit.hard, risk=True)
        aimed = replace(whole, low=low - target, high=high - target, soft=limit.soft)
        return [aimed] if target == 0 else [aimed, whole]

    def _stress(self, state: State, asset: str, valuation: Valuation, symbol: str) -> list[Measure]:
        """One for each case: the loss in it, with the worst of the other assets', may pass neither the limit nor, where
        that is more, the worst case as it is: what makes the worst case better is let through.
        """
        others = sum((self._worst(state, other) for name, other in state.valuations.items() if name != asset), ZERO)
        limit = self._limits.stress_loss
        lows = self._cases(state, valuation)
        own = valuation.legs[symbol].stress
        bounds = limit.soft - others, limit.hard - others
        return [
            Measure("stress_loss", low, -UNBOUNDED, exact(own[j]), *bounds, already=-min(lows))
            for j, low in enumerate(lows)
        ]

    def _worst(self, state: State, valuation: Valuation) -> Decimal:
        return max(ZERO, -min(self._cases(state, valuation)))

    def _cases(self, state: State, valuation: Valuation) -> list[Decimal]:
        """The change of value in each case, orders in flight at their worst."""
        totals = []
        for j, cell in enumerate(valuation.book.stress):
            legs = (self._range(state, each, exact(leg.stress[j]))[0] for each, leg in valuation.legs.items())
            totals.append(exact(cell) + sum(legs, ZERO))
        return totals

    def _notional(self, state: State, symbol: str) -> Measure:
        """As a bound on this leg's position: what the others leave of the limit."""
        limit, mark = self._limits.notional.ramped(self.share(state)), state.mark(symbol)
        others = sum(
            (self._largest(state, each) * state.mark(each) for each in self._market.symbols if each != symbol), ZERO
        )
        low, high = self._range(state, symbol, mark)
        soft, hard = max(ZERO, limit.soft - others), max(ZERO, limit.hard - others)
        return Measure("notional", low, high, mark, soft, hard)

    def _largest(self, state: State, symbol: str) -> Decimal:
        return max(abs(bound) for bound in self._range(state, symbol, Decimal(1)))

    def _range(self, state: State, symbol: str, each: Decimal) -> tuple[Decimal, Decimal]:
        """Least and most of the leg's position times `each`, whichever orders in flight fill."""
        held = state.ledger.position(symbol) * each
        moves = [order.left * each for order in state.reserved if order.symbol == symbol]
        return held + sum((m for m in moves if m < 0), ZERO), held + sum((m for m in moves if m > 0), ZERO)


def exact(value: float) -> Decimal:
    """The shortest decimal that reads back as `value`."""
    return Decimal(repr(value))
