"""How a hedger stands, as the API says it: plain numbers, each with its unit in its description."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, Field

from serve.breaker import Breaker
from serve.commands import Transition
from serve.exposure import net, profit
from serve.ledger import ZERO
from serve.limits import Measure
from serve.market import Market
from serve.mirror import Mirror
from serve.regimes import chances, worded
from serve.setup import Setup
from serve.state import State
from serve.states import Monitor, RiskState

StateName = Literal["NOTHING YET", "ACTIVE", "FALLBACK", "REDUCING", "HALTED"]
NAMES: dict[RiskState, StateName] = {
    RiskState.ACTIVE: "ACTIVE",
    RiskState.FALLBACK: "FALLBACK",
    RiskState.REDUCING: "REDUCING",
    RiskState.HALTED: "HALTED",
}
FULL = 1e9  # share of a limit that others have used up
TIME = "Milliseconds since 1970, UTC."


class RegimeView(BaseModel):
    name: str
    probability: float = Field(description="In the next bar, as the filter of past quotes has it.")


class AssetView(BaseModel):
    name: str
    spot: float
    mark: float = Field(description="Of the perpetual, quote currency.")
    funding_rate: float = Field(description="Per year.")
    volatility: float = Field(description="Filtered, per √year.")
    intensity: float = Field(description="Of shocks, over the calm level.")
    regimes: list[RegimeView] = Field(description="The calmest first; empty where the market has but one.")
    weather: str = Field(description="The likeliest regime in words, such as `storm 72 %`.")
    delta: float = Field(description="Book and hedges, base units.")
    gamma: float = Field(description="Base units per 1 % of spot.")
    vega: float = Field(description="Quote currency per volatility point.")
    stress_loss: float = Field(description="In the worst case of the settings, quote currency.")
    target_delta: float
    hedge_ratio: float


class PositionView(BaseModel):
    symbol: str
    units: Decimal = Field(description="Base units; short is negative.")
    mark: float
    worth: float = Field(description="Cash paid and received, and the position at its mark, quote currency.")
    fees: float = Field(description="Paid so far.")
    funding: float = Field(description="Received so far; paid is negative.")
    traded: float = Field(description="Notional so far.")


class HoldingView(BaseModel):
    id: str
    asset: str
    kind: str
    units: Decimal
    right: str | None
    strike: float | None
    expiry: int | None = Field(description=TIME)


class LimitView(BaseModel):
    name: str
    low: Decimal | None = Field(description="In the worst case over orders in flight; none where that side is free.")
    high: Decimal | None
    soft: Decimal
    hard: Decimal
    used: float = Field(description="Share of the soft limit; a billion where the others leave nothing of it.")
    headroom: Decimal = Field(description="From the worst case to the soft limit; negative beyond it.")
    overridden: bool


class OrderView(BaseModel):
    id: str
    symbol: str
    units: Decimal
    filled: Decimal
    status: str
    sent_at: int = Field(description=TIME)
    price: Decimal = Field(description="The mark that the decision saw.")


class BreakerView(BaseModel):
    name: str
    level: StateName
    latched: bool = Field(description="Waits for a person.")
    reason: str = Field(description="Of the last trip.")
    since: int | None = Field(description="When it last moved; none where it never did. " + TIME)
    trips: list[int] = Field(description="Within the last hour. " + TIME)
    suspicious: bool = Field(description="A breach was seen that is not confirmed yet.")


class BandView(BaseModel):
    """Of the last decision, base units: within it the leg is not traded."""

    symbol: str
    lower: float
    upper: float


class ProfitView(BaseModel):
    total: float | None = Field(description="Since the start, book at its mark; none before the first quotes.")
    delta_hedge: float | None = Field(description="What the delta hedge would have made of the same book.")
    hedges: float
    fees: float
    funding: float
    parts: dict[str, float] = Field(
        description="Of the total: moves of spot (delta, gamma) and of implied volatility (vega); time, skew and what "
        "is beyond (rest); the cost of trading (spread, fees), funding, and the desk's own trades (book)."
    )
    challenger_ahead: float | None = Field(description="Of a challenger in shadow, its profit less ours.")


NO_PROFIT = ProfitView(total=None, delta_hedge=None, hedges=0, fees=0, funding=0, parts={}, challenger_ahead=None)


class VenueView(BaseModel):
    reports: dict[str, int] = Field(description="When each report last came. " + TIME)
    mismatches: dict[str, str]
    skew_ms: int | None
    round_trip_ms: int | None
    commit_ms: int | None = Field(description="The last commit of the journal that was slow.")
    dropped: dict[str, int] = Field(description="Messages not acted on, by kind.")


class ProposalView(BaseModel):
    """Collateral that a person should move, and record with `transfer`."""

    account: str
    source: str
    amount: Decimal = Field(description="Quote currency.")
    distance: float = Field(description="Of the account to liquidation, fraction of spot.")
    in_time: bool = Field(description="Before the account is at its limit; else its positions shrink meanwhile.")
    reason: str


class Snapshot(BaseModel):
    """All of it at one time; empty lists before the hedger's first entry."""

    state: StateName
    reason: str = Field(description="Of the strictest breaker.")
    time: int = Field(description="Of the last event. " + TIME)
    entries: int = Field(description="Of the journal, so far.")
    model: str = Field(description="SHA-256 of the weights that decide.")
    last_good: str
    flattening: str = Field(description="The stage of a flatten at work; empty where there is none.")
    waiting: list[str] = Field(default=[], description="Instructions that the hedger has not taken.")
    assets: list[AssetView] = []
    positions: list[PositionView] = []
    holdings: list[HoldingView] = []
    bands: list[BandView] = []
    limits: list[LimitView] = []
    orders: list[OrderView] = []
    breakers: list[BreakerView] = []
    proposals: list[ProposalView] = []
    profit: ProfitView
    venue: VenueView


def snapshot(mirror: Mirror, waiting: tuple[str, ...] = ()) -> Snapshot:
    state, setup = mirror.state, mirror.setup
    if state is None or setup is None:
        return Snapshot(
            state="NOTHING YET", reason="", time=0, entries=mirror.entries, model="", last_good="", flattening="",
            waiting=list(waiting),
            profit=NO_PROFIT,
            venue=_venue(State({}, {}, {})),
        )  # fmt: skip
    return Snapshot(
        state=NAMES[state.risk],
        reason=state.strictest(),
        time=state.time,
        entries=mirror.entries,
        model=state.models.active,
        last_good=state.models.last_good,
        flattening="" if state.flatten is None else f"{state.flatten.mode}, {state.flatten.stage}",
        waiting=list(waiting),
        assets=[_asset(state, setup.market, name) for name in state.valuations if name in state.quotes],
        positions=[_position(state, symbol) for symbol in setup.market.symbols],
        holdings=[HoldingView.model_validate(each, from_attributes=True) for each in state.book.holdings.values()],
        bands=_bands(mirror, state, setup.market),
        limits=_limits(state, setup),
        orders=[OrderView.model_validate(each, from_attributes=True) for each in state.reserved],
        breakers=_breakers(mirror, state, setup.breakers),
        proposals=[ProposalView.model_validate(each, from_attributes=True) for each in mirror.proposals.values()],
        profit=_profit(mirror, state),
        venue=_venue(state),
    )


def _asset(state: State, market: Market, name: str) -> AssetView:
    quote, past, target = state.quotes[name], state.pasts[name], state.targets[name]
    found = chances(market, name, past.memory)
    held = net(state, state.valuations[name], float(state.ledger.coins.get(name, 0)))
    return AssetView(
        name=name, spot=quote.spot, mark=quote.mark, funding_rate=quote.funding_rate,
        volatility=past.volatility, intensity=past.intensity, weather=worded(found),
        regimes=[RegimeView(name=each, probability=chance) for each, chance in found.items()],
        delta=held.delta, gamma=held.gamma, vega=held.vega, stress_loss=held.stress_loss,
        target_delta=target.delta, hedge_ratio=target.hedge_ratio,
    )  # fmt: skip


def _position(state: State, symbol: str) -> PositionView:
    account, mark = state.ledger.account(symbol), state.mark(symbol)
    return PositionView(
        symbol=symbol, units=account.position, mark=float(mark), worth=float(account.worth(mark)),
        fees=float(account.fees), funding=float(account.funding), traded=float(account.traded),
    )  # fmt: skip


def _bands(mirror: Mirror, state: State, market: Market) -> list[BandView]:
    found = list[BandView]()
    for leg in () if mirror.decision is None else mirror.decision.legs:
        asset = market.asset_of[leg.symbol]
        base = market.base(state.book, asset, state.quotes[asset].spot)
        found.append(BandView(symbol=leg.symbol, lower=base * leg.lower, upper=base * leg.upper))
    return found


def _limits(state: State, setup: Setup) -> list[LimitView]:
    """Of every number that is limited, the tightest case."""
    if len(state.valuations) < len(state.pasts):
        return []
    limited, found = setup.limited, dict[str, LimitView]()
    for symbol in setup.market.symbols:
        own = (limited.position(state, symbol), *limited.measures(state, symbol), *limited.margin(state, symbol))
        for each in own:
            view = _limit(each, state.overrides.get(each.name, 0) > state.time)
            if each.name not in found or view.used > found[each.name].used:
                found[each.name] = view
    return list(found.values())


def _limit(each: Measure, lifted: bool) -> LimitView:
    low, high = (bound if bound.is_finite() else None for bound in (each.low, each.high))
    worst = max(ZERO, -(low or ZERO), high or ZERO)
    used = float(worst / each.soft) if each.soft > 0 else FULL
    return LimitView(
        name=each.name, low=low, high=high, soft=each.soft, hard=each.hard, used=used, headroom=each.soft - worst,
        overridden=lifted,
    )  # fmt: skip


def _breakers(mirror: Mirror, state: State, breakers: dict[str, Breaker]) -> list[BreakerView]:
    """Those of the settings and those of the core, the strictest first."""
    names = [*breakers, *(name for name in state.monitors if name not in breakers)]
    views = [_breaker(name, state.monitors.get(name, Monitor()), mirror.moved.get(name)) for name in names]
    return sorted(views, key=lambda each: -list(NAMES.values()).index(each.level))


def _breaker(name: str, monitor: Monitor, moved: Transition | None) -> BreakerView:
    return BreakerView(
        name=name, level=NAMES[monitor.level], latched=monitor.latched, reason=monitor.reason,
        trips=list(monitor.trips), suspicious=monitor.suspicious, since=None if moved is None else moved.time,
    )  # fmt: skip


def _profit(mirror: Mirror, state: State) -> ProfitView:
    total, accounts = profit(state), state.ledger.accounts
    return ProfitView(
        total=total,
        delta_hedge=None if total is None else total + mirror.baseline.ahead(mirror.core),
        hedges=float(sum(account.worth(state.mark(symbol)) for symbol, account in accounts.items())),
        fees=float(sum(account.fees for account in accounts.values())),
        funding=float(sum(account.funding for account in accounts.values())),
        parts=dict(mirror.attribution.parts),
        challenger_ahead=None if state.shadow is None else state.shadow.ahead,
    )


def _venue(state: State) -> VenueView:
    venue = state.venue
    return VenueView(
        reports=dict(venue.heard), mismatches=dict(venue.mismatches), skew_ms=venue.skew_ms,
        round_trip_ms=venue.round_trip_ms, commit_ms=venue.commit_ms, dropped=dict(state.dropped),
    )  # fmt: skip
