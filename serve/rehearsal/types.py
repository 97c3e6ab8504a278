"""The words of the rehearsal exchange: what is listed, what may be asked of it, and what then happens.

Money and sizes are Decimal, in quote currency and base units; a size with a sign is positive for a buy. Times are
milliseconds since 1970, UTC, of the exchange's own clock. Nothing here is any real exchange's spelling.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Kind = Literal["perpetual", "future", "option", "spot"]
TimeInForce = Literal["gtc", "ioc", "fok"]
Status = Literal["open", "filled", "cancelled", "expired"]
Ending = Literal["cancelled", "expired", "deadman", "unfilled", "reduce_only", "cap", "self_match", "settled"]
Refusal = Literal[  # what each means: `trading.SAID`
    "no_instrument", "lot", "tick", "price_band", "post_only", "reduce_only", "unfillable", "no_funds",
    "duplicate_id", "cap", "not_found", "maintenance", "past",
]  # fmt: skip

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Instrument:
    """Linear: perpetual, future or option of `base`, priced in `quote`, settled in `settle`; or `base` itself."""

    name: str  # BTC-PERP, BTC-20260327, BTC-20260327-60000-C, BTC-SPOT
    kind: Kind
    base: str
    quote: str
    settle: str
    tick: Decimal
    lot: Decimal  # base units; the least size too
    contract_size: Decimal  # base units that a protocol counts as one contract
    maker_fee: Decimal  # share of the notional
    taker_fee: Decimal
    position_cap: Decimal  # base units, long or short
    strike: Decimal | None = None
    expiry: int | None = None
    right: Literal["call", "put"] | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What an exchange is before anything has happened to it; with the commands it decides all that follows."""

    instruments: tuple[Instrument, ...]
    seed: int  # of the background liquidity
    currency: str = "USDC"  # that equity and margin are counted in
    haircuts: tuple[tuple[str, Decimal], ...] = ()  # collateral by currency: the share of its value that does not count
    unique_ids: bool = False  # whether an account's client id is refused a second time
    initial_rate: Decimal = Decimal("0.02")  # of a perpetual's or a future's notional
    maintenance_rate: Decimal = Decimal("0.01")
    tier_rate: Decimal = Decimal("0.00005")  # that a base unit of position adds to both
    funding: Literal["deadband", "clamped"] = "deadband"  # Deribit's formula, or Binance's and OKX's
    funding_cap: Decimal = Decimal("0.005")  # per eight hours
    band: Decimal = Decimal("0.05")  # a price may be so far from the mark, as a share of the index
    stale_after: int = 60_000  # milliseconds without an index after which nobody is liquidated
    insurance: Decimal = Decimal(1_000_000)  # the fund at the start


@dataclass(frozen=True, slots=True)
class Place:
    time: int
    account: str
    client_id: str  # may be empty
    instrument: str
    units: Decimal
    price: Decimal | None = None  # None: at the market, as far as the band goes
    tif: TimeInForce = "gtc"  # an order at the market is never gtc
    post_only: bool = False
    reduce_only: bool = False
    expires_at: int | None = None
    connection: str = ""  # whose end cancels it; empty: none's


@dataclass(frozen=True, slots=True)
class Cancel:
    time: int
    account: str
    order_id: int


@dataclass(frozen=True, slots=True)
class CancelAll:
    time: int
    account: str
    instrument: str | None = None  # None: every one
    connection: str = ""  # that has ended: only what was placed by it; empty: all


@dataclass(frozen=True, slots=True)
class DeadMan:
    """At `at` every order of the account is cancelled, unless told otherwise before; None: never."""

    time: int
    account: str
    at: int | None


@dataclass(frozen=True, slots=True)
class Move:
    """The market of an asset moves: the marks, the background's quotes, trades, and who can no longer carry what."""

    time: int
    asset: str
    index: Decimal
    premium: float = 0.0  # of the perpetual's fair price over the index
    half_spread: float = 0.0001  # of all but options, as a share of the price
    depth: float = 5_000_000.0  # quote currency that the background rests on each of their sides; 0: none
    volatility: float = 0.6  # at the money, per √year


@dataclass(frozen=True, slots=True)
class Fund:
    """Funding of every perpetual for the time since it was last paid."""

    time: int


@dataclass(frozen=True, slots=True)
class Maintain:
    time: int
    on: bool


@dataclass(frozen=True, slots=True)
class Transfer:
    time: int
    account: str
    currency: str
    amount: Decimal  # negative: a withdrawal


Command = Place | Cancel | CancelAll | DeadMan | Move | Fund | Maintain | Transfer


@dataclass(slots=True)
class Order:
    """As it stands; what the exchange hands out is a copy."""

    order_id: int
    account: str
    client_id: str
    instrument: str
    units: Decimal  # as ordered, with its sign
    price: Decimal  # for one at the market, as far as it may go
    at_market: bool
    tif: TimeInForce
    post_only: bool
    reduce_only: bool
    expires_at: int | None
    created: int
    updated: int
    status: Status = "open"
    filled: Decimal = ZERO  # no sign
    cost: Decimal = ZERO  # Σ size × price of the fills
    fee: Decimal = ZERO
    left: Decimal = ZERO  # no sign; 0 once it has ended
    connection: str = ""

    @property
    def average_price(self) -> Decimal | None:
        return self.cost / self.filled if self.filled else None


@dataclass(frozen=True, slots=True)
class Fill:
    """One side of a trade: what an account's statement shows."""

    fill_id: int  # unique per side
    trade_id: int  # the same on both sides
    time: int
    account: str
    order_id: int
    client_id: str
    instrument: str
    units: Decimal  # signed
    price: Decimal
    fee: Decimal  # in `fee_currency`; negative is a rebate
    fee_currency: str
    maker: bool
    liquidation: bool
    deleveraged: bool  # forced on a winner
    position: Decimal  # after it
    realised: Decimal  # profit that it moved to the balance, before the fee


@dataclass(frozen=True, slots=True)
class Accepted:
    time: int
    order: Order  # as it arrived, before it traded


@dataclass(frozen=True, slots=True)
class Refused:
    """A Place, Cancel or Transfer that did nothing."""

    time: int
    account: str
    client_id: str
    code: Refusal
    reason: str


@dataclass(frozen=True, slots=True)
class Traded:
    fill: Fill
    order: Order  # after it


@dataclass(frozen=True, slots=True)
class Gone:
    """An order that ended with something left."""

    time: int
    order: Order
    why: Ending


@dataclass(frozen=True, slots=True)
class Printed:
    """A trade as the public sees it."""

    time: int
    trade_id: int
    instrument: str
    price: Decimal
    size: Decimal
    buyer_took: bool
    liquidation: bool


@dataclass(frozen=True, slots=True)
class Funded:
    time: int
    account: str
    instrument: str
    units: Decimal
    rate: Decimal  # for the time paid for
    mark: Decimal
    paid: Decimal  # by the account, settle currency


@dataclass(frozen=True, slots=True)
class Liquidated:
    """The exchange took a position in hand; the fills are told beside it."""

    time: int
    account: str
    instrument: str
    units: Decimal  # signed, that it set out to trade


@dataclass(frozen=True, slots=True)
class Deleveraged:
    """A position closed against a bankrupt one; its fill is told beside it."""

    time: int
    account: str
    instrument: str
    units: Decimal  # signed, that the account traded
    price: Decimal


@dataclass(frozen=True, slots=True)
class Settled:
    """An option or a future that expired."""

    time: int
    account: str
    instrument: str
    units: Decimal
    price: Decimal  # the time-weighted index
    paid: Decimal  # to the account


@dataclass(frozen=True, slots=True)
class Moved:
    """Marks and tickers of an asset's instruments are new."""

    time: int
    asset: str


@dataclass(frozen=True, slots=True)
class LevelsChanged:
    """`sequence` counts an instrument's changes one by one, from the first."""

    time: int
    instrument: str
    sequence: int
    changes: tuple[tuple[Literal["bid", "ask"], Decimal, Decimal], ...]  # side, price, size resting now (0: gone)


Happening = (
    Accepted | Refused | Traded | Gone | Printed | Funded | Liquidated | Deleveraged | Settled | Moved | LevelsChanged
)
