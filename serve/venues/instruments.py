"""Our legs and assets as an exchange's instruments, and whether they are what the settings and the journal say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from envs.instruments.option import Option
from envs.types import BadInput
from serve.dialects import Raw
from serve.errors import StartRefused
from serve.events import BookTraded, Event, Holding
from serve.ledger import ZERO
from serve.market import Listing, Market
from serve.router.books import Nature
from serve.state import State
from serve.venues.connection import Connection

WORDS = {"swap": "perpetual", "future": "dated future", "spot": "spot"}
Terms = tuple[str, str, float | None, int | None, str | None]  # asset, kind, strike, expiry and right


@dataclass(frozen=True)
class Instruments:
    """`symbols`: ccxt's, by leg; an option leg has one while something that it may trade is listed."""

    line: Connection
    market: Market
    symbols: dict[str, str]

    @classmethod
    def of(cls, line: Connection, market: Market) -> Instruments:
        """Raises BadInput for a leg or an asset without its instrument, or a lot that the exchange does not trade."""
        settings = line.settings
        if unknown := [name for name in settings.symbols if name not in market.symbols]:
            raise BadInput(f"venue.symbols.{unknown[0]} is no leg; have {', '.join(market.symbols)}")
        for asset in market.assets:
            if asset not in settings.quotes:
                raise BadInput(f"venue.quotes.{asset} is missing; name the perpetual that quotes it")
            _traded(line, settings.quotes[asset], f"venue.quotes.{asset}", ("swap",))
        made = cls(line, market, dict(settings.symbols))
        for leg in market.symbols:
            made._checked(leg)
        return made

    @property
    def others(self) -> tuple[str, ...]:
        """What linear legs trade that quotes no asset."""
        legs = {symbol: None for leg, symbol in self.symbols.items() if self.market.linear(leg)}
        return tuple(symbol for symbol in legs if symbol not in self.line.settings.quotes.values())

    def nature(self, leg: str) -> Nature:
        """Of what the leg trades, as the exchange lists it."""
        listed: Raw = self.line.markets.get(self.symbols.get(leg, ""), {})
        return Nature(int(listed["expiry"]) if listed.get("future") else None, bool(listed.get("spot")))

    def base(self, asset: str) -> str:
        """What the exchange calls an asset."""
        return str(self.line.market(self.line.settings.quotes[asset])["base"])

    def listed(self, leg: str, listing: Listing) -> None:
        """The leg trades the option of these terms from here on, if the exchange lists it."""
        right, base = self._right(leg), self.base(self.market.asset_of[leg])
        terms = (base, right, listing.strike, listing.expiry)
        found = [name for name, each in self.line.markets.items() if _option(each) == terms]
        self.symbols.pop(leg, None)
        self.symbols.update(dict.fromkeys([leg] if found else [], min(found, default="")))

    def contracts(self, before: Mapping[str, str]) -> dict[str, str]:
        """Base units in one of ccxt's amount of each instrument.

        `before`: the same of the journal's last session. Raises StartRefused where one has changed.
        """
        now = {symbol: str(self.line.unit(symbol).normalize()) for symbol in self.symbols.values()}
        for symbol, was in before.items():
            if (size := now.get(symbol, was)) != was:
                raise StartRefused(
                    f"{self.line.settings.name}: a contract of {symbol} was {was} when this journal was last served, "
                    f"and is {size}; settle what is open and begin a new journal"
                )
        return now

    def unexplained(self, state: State, declared: Iterable[Event]) -> str | None:
        """Positions beside the legs must be those of the book."""
        book: dict[Terms, Decimal] = {}
        told = [event.holding for event in declared if isinstance(event, BookTraded)]
        for holding in (*state.book.holdings.values(), *told):
            book[_terms(holding)] = book.get(_terms(holding), ZERO) + holding.units
        for name, units in state.venue.positions.items():
            terms = None if name in self.market.symbols else self._described(name)
            if name not in self.market.symbols and (terms is None or book.get(terms) != units):
                where = self.line.settings.name
                return f"{units} of {name} is held at {where}, and neither our fills nor the book explain it"
        return None

    def _checked(self, leg: str) -> None:
        symbol, lot = self.symbols.get(leg), self.market.lot(leg)
        if symbol is None:
            if self.market.linear(leg):
                raise BadInput(f"venue.symbols.{leg} is missing; name the instrument that the leg trades")
            return
        if self.market.linear(leg):
            _traded(self.line, symbol, f"venue.symbols.{leg}", self.line.dialect.kinds)
            self._paid(leg, symbol)
        step = Decimal(str(self.line.market(symbol)["precision"]["amount"])) * self.line.unit(symbol)
        if lot % step != 0:
            raise BadInput(
                f"legs: {symbol} trades in steps of {step}, and {leg} in lots of {lot}; make them whole steps"
            )

    def _paid(self, leg: str, symbol: str) -> None:
        """Raises BadInput for a spot that is not paid for in what the account's contracts settle in."""
        market, quoted = self.line.market(symbol), self.line.settings.quotes[self.market.asset_of[leg]]
        money = self.line.market(quoted)["settle"]
        if market.get("spot") and market["quote"] != money:
            raise BadInput(f"venue.symbols.{leg}: {symbol} is not paid for in {money}, which {quoted} settles in")

    def _right(self, leg: str) -> str:
        option = self.market.contract.hedges[self.market.symbols.index(leg)].instrument
        assert isinstance(option, Option), "only options are listed; the edge sees to it"
        return str(option.right)

    def _described(self, symbol: str) -> Terms | None:
        """None for an instrument whose asset is not served."""
        each = self.line.markets.get(symbol, {})
        asset = next((name for name in self.market.assets if self.base(name) == each.get("base")), None)
        if asset is None:
            return None
        if each.get("option"):
            return asset, "option", float(each["strike"]), int(each["expiry"]), str(each["optionType"])
        return asset, "perpetual" if each.get("swap") else "future", None, each.get("expiry"), None


def _traded(line: Connection, symbol: str, where: str, kinds: Sequence[str]) -> None:
    """Raises BadInput for what is not of these kinds (ccxt's), or is settled in coin. `where`: in the settings."""
    line.unit(symbol)
    own = line.market(symbol)
    if not _linear(own, kinds):
        base = own["base"]
        have = sorted(name for name, each in line.markets.items() if _linear(each, kinds) and each["base"] == base)
        raise BadInput(
            f"{where}: {symbol} is no {' or '.join(WORDS[kind] for kind in kinds)}, and live nothing else is traded "
            f"beside options; have {', '.join(have[:3]) or f'none of {base}'}"
        )


def _linear(market: Raw, kinds: Sequence[str]) -> bool:
    return any(market.get(kind) for kind in kinds) and bool(market.get("linear") or market.get("spot"))


def _terms(holding: Holding) -> Terms:
    return holding.asset, holding.kind, holding.strike, holding.expiry, holding.right


def _option(market: Raw) -> tuple[object, ...] | None:
    """Of an option that is not settled in its own coin."""
    if not market.get("option") or market.get("inverse"):
        return None
    return market["base"], market["optionType"], float(market["strike"]), int(market["expiry"])
