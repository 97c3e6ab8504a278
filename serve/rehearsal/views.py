"""What the rehearsal exchange shows when it is asked. Looking changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

Level = tuple[Decimal, Decimal]  # price, size


@dataclass(frozen=True, slots=True)
class Balance:
    currency: str
    amount: Decimal
    reserved: Decimal  # by open spot orders
    price: Decimal  # of one, in the account's currency
    haircut: Decimal


@dataclass(frozen=True, slots=True)
class Position:
    instrument: str
    units: Decimal  # signed
    entry: Decimal  # average price
    mark: Decimal
    unrealised: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    liquidation_price: Decimal | None  # None: no price of this instrument alone
    adl_rank: int  # 1 to 5; 5 is the first fifth to be deleveraged


@dataclass(frozen=True, slots=True)
class Account:
    """All in the rules' currency."""

    name: str
    equity: Decimal  # balances and positions at their worth
    margin_balance: Decimal  # balances after haircuts and what perpetuals and futures have gained; options do not count
    initial_margin: Decimal  # of positions and open orders
    maintenance_margin: Decimal
    available: Decimal  # margin balance less initial margin, never below 0
    balances: tuple[Balance, ...]  # currencies ever held
    positions: tuple[Position, ...]  # those that are not flat


@dataclass(frozen=True, slots=True)
class Book:
    """Best first."""

    time: int
    instrument: str
    sequence: int  # of the last change
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class Greeks:
    """Per base unit, spot measure; vega per 1.00 of volatility, theta per year."""

    delta: float
    gamma: float
    vega: float
    theta: float


@dataclass(frozen=True, slots=True)
class Ticker:
    time: int
    instrument: str
    mark: Decimal
    index: Decimal
    last: Decimal  # the mark before the first trade
    bid: Level | None
    ask: Level | None
    min_price: Decimal  # least that a sell may ask
    max_price: Decimal  # most that a buy may bid
    funding_rate: Decimal | None  # per eight hours, as it would be paid now; perpetuals
    open_interest: Decimal  # base units
    volume: Decimal  # base units traded in the last 24 hours
    volatility: float | None  # implied by the mark; options
    bid_volatility: float | None
    ask_volatility: float | None
    greeks: Greeks | None


@dataclass(frozen=True, slots=True)
class Funding:
    time: int
    instrument: str
    rate: Decimal  # for the time paid for
    hours: float  # that it was paid for
    mark: Decimal
    index: Decimal


@dataclass(frozen=True, slots=True)
class Candle:
    """Of trades, or of the mark where there were none."""

    time: int  # its start
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal  # base units
