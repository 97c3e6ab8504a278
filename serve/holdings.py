"""The book to hedge: changed by journalled events alone, grouped into claims as the shared code prices them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from envs.contract import Claim, Contract
from envs.instrument import Instrument, Terms, View
from envs.instruments.future import Future
from envs.instruments.liquidity_position import LiquidityPosition, PositionTerms
from envs.instruments.option import Option, OptionTerms
from envs.instruments.perpetual import Perpetual
from envs.instruments.spot import Spot
from envs.pricing import binomial, black_scholes, uniswap
from envs.types import Greeks
from serve.errors import Refused
from serve.events import Holding

DTYPE = torch.float64
ZERO = Decimal(0)
_PARAMETERS = {"option": ("strike",), "liquidity_position": ("lower", "upper", "entry")}
N = TypeVar("N")
Key = tuple[int, str, str, str, str]  # asset, kind, right of an American option, settlement, style


@dataclass(frozen=True)
class EitherTerms(OptionTerms):
    call: Tensor  # (P, n) bool; else a put


class European(Option):
    """Calls and puts together."""

    def greeks(self, terms: EitherTerms, view: View) -> Greeks:  # type: ignore[override]
        volatility = view.surface.volatility(view.quote, view.memory, terms.strike, terms.bars_left)
        at = (view.quote.spot[:, None], terms.strike, view.years(terms.bars_left), volatility)
        return black_scholes.greeks(*at, call=terms.call)

    def deltas(self, terms: EitherTerms, view: View, spots: Tensor, stretches: Tensor) -> Tensor:  # type: ignore[override]
        """As `Option.deltas`."""
        volatility = view.surface.volatility(view.quote, view.memory, terms.strike, terms.bars_left)
        time = view.years(terms.bars_left)[..., None]
        at = (spots[:, None], terms.strike[..., None], time, volatility[..., None] * stretches[:, None])
        return black_scholes.delta(*at, call=terms.call[..., None])


class American(Option):
    """An option that may be exercised at any time, priced on the binomial tree at its own volatility."""

    def greeks(self, terms: OptionTerms, view: View) -> Greeks:
        volatility = view.surface.volatility(view.quote, view.memory, terms.strike, terms.bars_left)
        return self._tree(view.quote.spot[:, None], terms.strike, view.years(terms.bars_left), volatility)

    def deltas(self, terms: OptionTerms, view: View, spots: Tensor, stretches: Tensor) -> Tensor:
        volatility = view.surface.volatility(view.quote, view.memory, terms.strike, terms.bars_left)[..., None]
        strike, time = terms.strike[..., None], view.years(terms.bars_left)[..., None]
        return self._tree(spots[:, None], strike, time, volatility * stretches[:, None]).delta

    def _tree(self, *at: Tensor) -> Greeks:
        spot, strike, time, volatility = torch.broadcast_tensors(*at)  # type: ignore[no-untyped-call]
        return binomial.greeks(spot, strike, time, volatility, call=self.right == "call")


@dataclass(frozen=True, eq=False)
class Group:
    """Holdings that differ in units, strike and expiry alone."""

    key: Key
    holdings: tuple[Holding, ...]

    @property
    def asset(self) -> int:
        return self.key[0]

    @cached_property
    def room(self) -> int:
        """For so many holdings, a power of four: books that differ by a few have one form."""
        return 1 << 2 * (((len(self.holdings) - 1).bit_length() + 1) // 2)

    @cached_property
    def units(self) -> tuple[float, ...]:
        """With nothing in the room that is left."""
        return (*(float(each.units) for each in self.holdings), *(0.0,) * (self.room - len(self.holdings)))

    @cached_property
    def parameters(self) -> tuple[tuple[float, ...], ...]:
        """As `parameters` names them; the room that is left repeats the last holding's."""
        rows = [tuple(_number(each, name) for each in self.holdings) for name in parameters(self.key)]
        return tuple(self._filled(row) for row in rows)

    def bars(self, now: int, bar: int, life: int) -> tuple[int, ...]:
        """Left as of `now`; a bar begun counts whole, as in the simulator. `life`: bars of what never expires."""
        return tuple([life if at is None else max(0, -((now - at) // bar)) for at in self._expiries])

    @cached_property
    def _expiries(self) -> tuple[int | None, ...]:
        return self._filled(tuple(each.expiry for each in self.holdings))

    def _filled(self, row: tuple[N, ...]) -> tuple[N, ...]:
        return (*row, *row[-1:] * (self.room - len(row)))


def parameters(key: Key) -> tuple[str, ...]:
    """What the terms of a group's holdings have besides the bars left."""
    return ("strike", "right") if _either(key) else _PARAMETERS.get(key[1], ())


def _either(key: Key) -> bool:
    return key[1] == "option" and key[4] == "european"


def _number(holding: Holding, name: str) -> float:
    value = getattr(holding, name)
    return float(value == "call" if name == "right" else value)


def terms_of(key: Key, rows: Sequence[Tensor]) -> Any:
    """Of bars left and `parameters`, (1, n) each."""
    if _either(key):
        left, strike, call = rows
        return EitherTerms(left, strike, call > 0)
    if key[1] == "option":
        return OptionTerms(*rows)
    if key[1] == "liquidity_position":
        left, lower, upper, entry = rows
        return PositionTerms(left, lower, upper, uniswap.liquidity(entry, entry, lower, upper))
    return Terms(rows[0])


@dataclass(frozen=True, eq=False)
class Book:
    holdings: Mapping[str, Holding] = field(default_factory=dict)  # by id
    peak: Mapping[str, Decimal] = field(
        default_factory=dict
    )  # by asset: most units, long and short, since it was empty
    trades: tuple[frozenset[str], ...] = ()  # ids of those that had one, as `_with_id` keeps them

    def traded(self, holding: Holding, trade: str = "") -> Book:
        """With its units added. Raises Refused where the id stands for something else, or the trade was told before."""
        if trade and any(trade in each for each in self.trades):
            raise Refused(f"trade {trade} of {holding.id} repeats")
        was = self.holdings.get(holding.id)
        units = holding.units if was is None else was.units + holding.units
        if was is not None and replace(was, units=units) != replace(holding, units=units):
            raise Refused(f"{holding.id} is in the book on other terms")
        book = self._with({**self.holdings, holding.id: replace(holding, units=units)}, holding.asset)
        return replace(book, trades=_with_id(self.trades, trade)) if trade else book

    def settled(self, name: str) -> Book:
        """Without a holding. Raises Refused for one that is not there."""
        if name not in self.holdings:
            raise Refused(f"{name} is not in the book")
        left = {key: each for key, each in self.holdings.items() if key != name}
        return self._with(left, self.holdings[name].asset)

    def gross(self, asset: str) -> Decimal:
        """Units of an asset's holdings, long and short added."""
        return sum((abs(each.units) for each in self.holdings.values() if each.asset == asset), ZERO)

    def groups(self, assets: Mapping[str, int]) -> tuple[Group, ...]:
        """In a fixed order; `assets`: the place of each."""
        found: dict[Key, list[Holding]] = {}
        for each in self.holdings.values():
            right = each.right if each.style == "american" and each.right is not None else ""
            key = (assets[each.asset], each.kind, right, each.settlement, each.style)
            found.setdefault(key, []).append(each)
        return tuple(Group(key, tuple(found[key])) for key in sorted(found))

    def _with(self, holdings: Mapping[str, Holding], asset: str) -> Book:
        kept = {name: each for name, each in holdings.items() if each.units != 0}
        gross = Book(kept).gross(asset)
        peaks = {name: most for name, most in self.peak.items() if name != asset}
        if gross > 0:
            peaks[asset] = max(gross, self.peak.get(asset, ZERO))
        return replace(self, holdings=kept, peak=peaks)


def _with_id(kept: tuple[frozenset[str], ...], name: str) -> tuple[frozenset[str], ...]:
    """In sets whose sizes are different powers of two: of n ids each is copied log2 n times at most, as books share
    their sets.
    """
    new = frozenset((name,))
    while kept and len(kept[-1]) <= len(new):
        new, kept = new | kept[-1], kept[:-1]
    return (*kept, new)


def bars_left(expiry: int | None, now: int, bar: int, life: int) -> int:
    return life if expiry is None else max(0, -(-(expiry - now) // bar))


def contract_of(contract: Contract, keys: tuple[Key, ...]) -> Contract:
    """The `contract` with the claims that a book's groups make."""
    claims = tuple(Claim.model_construct(instrument=_instrument(key), units=1.0, count=1) for key in keys)
    return contract.model_copy(update={"claims": claims})


def _instrument(key: Key) -> Instrument:
    asset, kind, right, settlement, style = key
    if kind == "option":
        if style == "american":
            return American.model_validate({"asset": asset, "right": right, "settlement": settlement})
        return European(asset=asset, settlement=settlement)  # type: ignore[arg-type]
    linear: dict[str, type[Instrument]] = {"spot": Spot, "perpetual": Perpetual, "future": Future}
    return LiquidityPosition(asset=asset) if kind == "liquidity_position" else linear[kind](asset=asset)  # type: ignore[call-arg]


def fault(holding: Holding, assets: Mapping[str, int], now: int, bar: int, longest: int) -> str | None:
    """Why a holding from outside is no holding, in words."""
    if holding.asset not in assets:
        return f"asset {holding.asset} is not served"
    if not holding.units.is_finite() or holding.units == 0:
        return f"units {holding.units}"
    if holding.kind in ("option", "future") and holding.expiry is None:
        return f"an {holding.kind} without expiry"
    if holding.kind == "option" and holding.right is None:
        return "an option that is neither call nor put"
    if holding.expiry is not None and not 0 < holding.expiry - now <= longest * bar:
        return f"expiry {holding.expiry} is past or more than {longest} bars away"
    return _price_fault(holding)


def _price_fault(holding: Holding) -> str | None:
    for name in _PARAMETERS.get(holding.kind, ()):
        value = getattr(holding, name)
        if value is None or not 0 < value < float("inf"):
            return f"{name} {value}"
    if holding.lower is not None and holding.upper is not None and holding.lower >= holding.upper:
        return f"range from {holding.lower} to {holding.upper}"
    return None
