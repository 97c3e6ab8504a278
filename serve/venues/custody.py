"""The paper venue's hold on an account: margin, liquidation, auto-deleveraging and expiry, by the simulator's rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, Decimal

from torch import Tensor

from envs.custody import Custodian, Extremes
from serve.events import Deleveraged, QuoteEvent
from serve.market import Market, Sight, one
from serve.venues.matching import CENT_PARTS, decimal


@dataclass(frozen=True)
class Custody:
    market: Market

    def closures(self, sight: Sight, quote: QuoteEvent) -> tuple[Deleveraged, ...]:
        """What the venue closes of the account as the market moves to `quote`.

        A liquidation costs each leg of an account the same share of its notional, and none less than it is worth.
        """
        margined = self._custodian(sight).margined
        if not any(sight.positions) or not (margined or quote.deleveraged > 0):
            return ()
        at = self.market.situation(sight)
        before, extremes = at.accounts, _extremes(sight, quote)
        after = self._custodian(sight).enforced(before, at.whole, at.traded, at.views, extremes)
        gone, mark = (before.units - after.units)[0, 0].tolist(), at.traded.mark[0].tolist()
        out = [bool(each) and units != 0 for each, units in zip(after.liquidated[0, 0].tolist(), gone, strict=True)]
        paid = (after.cash - before.cash)[0, 0].tolist()
        costs = [units * price - cash for units, price, cash in zip(gone, mark, paid, strict=True)]
        shares = self._shares(out, costs, [abs(units) * price for units, price in zip(gone, mark, strict=True)])
        return tuple(self._closed(sight, quote.time, gone, mark, out, shares))

    def affords(self, sight: Sight, leg: int, units: Decimal) -> bool:
        """Whether the account could hold `units` more of a leg, bought at its mark."""
        if not self._custodian(sight).margined:
            return True
        mark = decimal(float(self.market.situation(sight).traded.mark[0, leg]))
        then = replace(sight, positions=_plus(sight.positions, leg, units), cash=_plus(sight.cash, leg, -units * mark))
        at = self.market.situation(then).health
        return bool((at.equity >= at.requirement).all())

    def use(self, sight: Sight) -> float:
        """Maintenance over equity, of the account that is worst off; 0 without margin, at most 1e9."""
        if not self._custodian(sight).margined:
            return 0.0
        at = self.market.situation(sight).health
        used: Tensor = at.requirement / at.equity.clamp(min=1e-9)
        return float(used.max().clamp(max=1e9))

    def _custodian(self, sight: Sight) -> Custodian:
        return self.market.form(sight.book, sight.smiles).custodian

    def _shares(self, out: list[bool], costs: list[float], notionals: list[float]) -> list[float]:
        """Of each leg's notional that its liquidation costs; legs under cross margin bear it alike."""
        if self.market.contract.margin.mode == "isolated":
            return [
                cost / notional if gone else 0.0 for gone, cost, notional in zip(out, costs, notionals, strict=True)
            ]
        whole = sum(notional for gone, notional in zip(out, notionals, strict=True) if gone)
        return [sum(costs) / whole if gone else 0.0 for gone in out]

    def _closed(
        self, sight: Sight, now: int, gone: list[float], mark: list[float], out: list[bool], shares: list[float]
    ) -> Iterator[Deleveraged]:
        for k, symbol in enumerate(self.market.symbols):
            position = sight.positions[k]
            sign = 1 if position > 0 else -1
            if out[k]:
                price = max(CENT_PARTS, decimal(mark[k] * (1 - sign * shares[k])))
                yield Deleveraged(now, symbol, -position, price, "liquidated")
                continue
            lot = self.market.lot(symbol)
            units = (Decimal(abs(gone[k])) / lot).to_integral_value(ROUND_DOWN) * lot
            if units > 0:
                yield Deleveraged(now, symbol, -sign * units, decimal(mark[k]), "deleveraged")


def _extremes(sight: Sight, quote: QuoteEvent) -> Extremes:
    """Since the quote before: the quoted asset moved, the others stood."""
    moved = [each.asset == quote.asset for each in sight.quotes]
    pairs = list(zip(sight.quotes, moved, strict=True))
    return Extremes(
        tuple(one(min(each.low, each.spot) if own else each.spot) for each, own in pairs),
        tuple(one(max(each.high, each.spot) if own else each.spot) for each, own in pairs),
        tuple(one(each.deleveraged if own else 0.0) for each, own in pairs),
    )


def _plus(values: tuple[Decimal, ...], place: int, more: Decimal) -> tuple[Decimal, ...]:
    return tuple(value + more if k == place else value for k, value in enumerate(values))
