"""Keeping the margin accounts away from liquidation: what a person is asked to move, and what is reduced before that.

An account is closed to its limit in time t by a move of so many standard deviations of filtered volatility, σ√t. While
a transfer could still come before that it is proposed, some transfer times ahead; where it would come too late, the
account's positions shrink first. Nothing is ever transferred from here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_UP, Decimal

from serve.account import Cushion
from serve.clock import SECOND, YEAR
from serve.commands import Alert, Ask, Output, Proposal
from serve.errors import Refused
from serve.events import BalanceReport, CollateralMoved
from serve.frozen import replace
from serve.instructions import OUTSIDE
from serve.ledger import ZERO
from serve.margining import accounts, cushions, leg_of
from serve.market import Sight
from serve.setup import Setup
from serve.state import BALANCE, Cap, State

CENT = Decimal("0.01")
MORE = Decimal("1.5")  # times what was proposed, that is proposed anew
EASED = 1.25  # times the distance that is restored, at which nothing need be moved any more


@dataclass(frozen=True)
class Levels:
    """Distances to liquidation, fractions of spot."""

    limit: float
    propose: float
    restore: float

    @classmethod
    def of(cls, setup: Setup, state: State) -> Levels:
        rules, limit = setup.config.collateral, setup.margin_limit
        propose = limit + _approach(setup, state, rules.lead * rules.transfer_seconds * SECOND)
        return cls(limit, propose, max(rules.target, propose))


def recorded(state: State, event: CollateralMoved, setup: Setup) -> State:
    """A person moved collateral, and the venue has not told of it yet. Raises Refused for an account that is none."""
    names = accounts(state, setup)
    if not event.who.strip():
        raise Refused("collateral moved by nobody: a named person acts")
    if event.account not in names:
        raise Refused(f"there is no margin account {event.account}; have {', '.join(names) or 'none'}")
    care, sent = state.care, replace(event, expected=max(event.expected, event.time))
    proposed = {name: amount for name, amount in care.proposed.items() if name != event.account}
    return replace(state, care=replace(care, proposed=proposed, awaited=(*care.awaited, sent)))


def progressed(
    before: State, state: State, setup: Setup, sight: Callable[[State], Sight]
) -> tuple[State, list[Output]]:
    """What comes of the distances of now: proposals, caps on positions, and decisions owed where one is exceeded."""
    state, asked = _awaited(state, setup)
    if state.distance is None or state.distance == before.distance or len(state.trusted) < len(state.pasts):
        return state, asked
    levels = Levels.of(setup, state)
    if state.distance >= EASED * levels.restore and state.care.easy:
        return state, asked
    each, outputs = cushions(state, setup, sight(state)), list[Output]()
    for account in each:
        state, more = _cared(state, setup, account, levels, each)
        outputs += more
    return _over(state, setup), [*asked, *outputs]


def _cared(
    state: State, setup: Setup, account: Cushion, levels: Levels, every: Sequence[Cushion]
) -> tuple[State, list[Output]]:
    care, name, near, outputs = state.care, account.account, account.distance, list[Output]()
    if near >= EASED * levels.restore:
        care = replace(care, proposed={k: v for k, v in care.proposed.items() if k != name})
    late, needed = near < _late(state, setup, account, levels), _needed(state, account, levels)
    waits = any(each.account == name for each in care.awaited)
    if near < levels.propose and not waits and needed > MORE * care.proposed.get(name, ZERO):
        outputs = _proposed(state, setup, account, levels, every, late, needed)
        care = replace(care, proposed={**care.proposed, name: needed})
    if late or any(holder == name for holder, _ in care.caps):
        caps = {**care.caps, **_caps(state, setup, account, levels, late)}
        care = replace(care, caps={k: v for k, v in caps.items() if v.urgent or v.units < v.wanted})
    return replace(state, care=care), outputs


def _needed(state: State, account: Cushion, levels: Levels) -> Decimal:
    """Collateral with which the account could hold again what it held before it was capped."""
    times = 1.0
    for symbol, units in account.positions.items():
        if units != 0 and (cap := state.care.caps.get((account.account, symbol))) is not None:
            times = max(times, float(1 + (cap.wanted - abs(state.ledger.position(symbol))) / abs(units)))
    return max(ZERO, Decimal(account.missing(levels.restore, times)).quantize(CENT, ROUND_UP))


def _proposed(
    state: State,
    setup: Setup,
    account: Cushion,
    levels: Levels,
    every: Sequence[Cushion],
    late: bool,
    needed: Decimal,
) -> list[Output]:
    """From the account that can best spare it, or from outside."""
    expected = state.time + round(setup.config.collateral.transfer_seconds * SECOND)
    donors = [each for each in every if each is not account and -each.missing(levels.restore) >= needed]
    source = min(donors, key=lambda each: each.missing(levels.restore)).account if donors else OUTSIDE
    words = f"a move of {account.distance:.1%} liquidates {account.account}, limit {levels.limit:.1%}"
    words += ", and a transfer would come too late: its positions shrink first" if late else ""
    made = Proposal(state.time, account.account, source, needed, account.distance, expected, not late, words)
    return [made, Alert(state.time, f"move {needed:,.2f} from {source} to {account.account}: {words}")]


def _late(state: State, setup: Setup, account: Cushion, levels: Levels) -> float:
    """The distance under which a transfer would come too late: one on its way counts, as long as it is not overdue."""
    usual = setup.config.collateral.transfer_seconds * SECOND
    left = [each.expected - state.time for each in state.care.awaited if each.account == account.account]
    return levels.limit + _approach(setup, state, min((each for each in left if each >= 0), default=usual))


def _approach(setup: Setup, state: State, milliseconds: float) -> float:
    """What the market may come nearer in that time, the most volatile asset's; fraction of spot."""
    volatility = max(past.volatility for past in state.pasts.values())
    return setup.config.collateral.sigmas * volatility * math.sqrt(milliseconds / YEAR)


def _caps(state: State, setup: Setup, account: Cushion, levels: Levels, late: bool) -> dict[tuple[str, str], Cap]:
    """Of each leg in the account: what its equity carries at the distance to be restored, and a lot at least.

    Of a leg that traded since the venue told of the account nothing can be said.
    """
    share, caps = Decimal(account.kept(levels.restore)), dict[tuple[str, str], Cap]()
    for symbol, units in account.positions.items():
        if _crossed(state, symbol):
            continue
        lot, held = setup.market.lot(symbol), abs(state.ledger.position(symbol))
        carried = max(lot, (abs(units) * share / lot).to_integral_value(ROUND_DOWN) * lot)
        elsewhere, before = max(ZERO, held - abs(units)), state.care.caps.get((account.account, symbol))
        venue = account.account if state.venue.accounts else ""
        wanted = held if before is None else before.wanted
        caps[account.account, symbol] = Cap(elsewhere + carried, carried, wanted, late, venue)
    return caps


def _over(state: State, setup: Setup) -> State:
    """A decision is owed where a position is over its cap: at once, and then at every slice until it is not."""
    again, owed = dict(state.again), set[str]()
    for symbol in over(state):
        asset = setup.market.asset_of[symbol]
        if asset in again:
            continue
        again[asset] = state.time + round(setup.config.execution.slice_seconds * SECOND)
        owed.add(asset)
    return replace(state, again=again).owing(*owed) if owed else state


@dataclass(frozen=True)
class Excess:
    """What is to be traded at once of a leg in one account; `venue`: whose it is, empty where there is one."""

    units: Decimal
    venue: str


def over(state: State) -> dict[str, Excess]:
    """By leg: of the account that is furthest over its cap. The others follow when the venue has told of the trade."""
    found = dict[str, Excess]()
    for (name, symbol), cap in state.care.caps.items():
        units, most = _held(state, name, symbol), abs(found[symbol].units) if symbol in found else ZERO
        excess = abs(units) - cap.carried
        if cap.urgent and excess > most and not _crossed(state, symbol):
            found[symbol] = Excess(excess.copy_sign(-units), cap.venue)
    return found


def _held(state: State, account: str, symbol: str) -> Decimal:
    """Of a leg in an account: as the venue told of it last, or all that we hold where it tells of none."""
    told = {each.venue: dict(each.positions) for each in state.venue.accounts}
    return told.get(account, {}).get(symbol, ZERO) if told else state.ledger.position(symbol)


def _crossed(state: State, symbol: str) -> bool:
    """Whether the leg traded since the venue told of its accounts."""
    return bool(state.venue.accounts) and state.venue.changed_at.get(symbol, -1) >= state.venue.cash_as_of


def _awaited(state: State, setup: Setup) -> tuple[State, list[Output]]:
    """The venue is asked for its balance once a transfer should be there, and again until it tells of it; one of which
    it tells nothing for as long again as a transfer takes is not waited for any more. It is asked too where what is
    over a cap traded since it told of the account.
    """
    care, rules = state.care, setup.config
    crossed = any(cap.urgent and _crossed(state, symbol) for (_, symbol), cap in care.caps.items())
    if not crossed and not any(each.expected <= state.time for each in care.awaited):
        return state, []
    oldest = state.venue.cash_as_of - rules.collateral.transfer_seconds * SECOND
    lost = [each for each in care.awaited if each.expected < oldest]
    words = (f"{each.amount:,.2f} from {each.source} have not come to {each.account}; look for them" for each in lost)
    alerts: list[Output] = [Alert(state.time, each) for each in words]
    care = replace(care, awaited=tuple(each for each in care.awaited if each not in lost))
    if state.time - care.asked_at < rules.reconcile.recheck_seconds * SECOND:
        return replace(state, care=care), alerts
    return replace(state, care=replace(care, asked_at=state.time)), [Ask(state.time, BALANCE), *alerts]


def arrived(state: State, event: BalanceReport, setup: Setup) -> State:
    """With the transfers that the venue's cash tells of: one, or all together, that came, or that left an account."""
    care, start = state.care, state.venue.cash_start
    if not care.awaited or start is None:
        return state
    off, names = event.cash - state.ledger.hedge_cash - start, accounts(state, setup)
    for moves in (*((each,) for each in care.awaited), care.awaited):
        inside = all(each.source in names for each in moves)
        total = sum((each.amount for each in moves), ZERO)
        came = event.time >= max(each.expected for each in moves) if inside else True
        if came and abs(off - (0 if inside else total)) <= setup.config.reconcile.cash_tolerance:
            return _booked(state, setup, moves, 0 * total if inside else total)
        if inside and abs(off + total) <= setup.config.reconcile.cash_tolerance:
            on_their_way = tuple(replace(each, source=OUTSIDE) if each in moves else each for each in care.awaited)
            venue = replace(state.venue, cash_start=start - total)
            return replace(state, venue=venue, care=replace(care, awaited=on_their_way))
    return state


def _booked(state: State, setup: Setup, moves: Sequence[CollateralMoved], cash: Decimal) -> State:
    assert state.venue.cash_start is not None
    posted = dict(state.opening.posted)
    for each in moves:
        leg = leg_of(setup.market, each.account)
        posted[leg] = posted.get(leg, ZERO) + each.amount
    return replace(
        state,
        opening=replace(state.opening, posted=posted),
        venue=replace(state.venue, cash_start=state.venue.cash_start + cash),
        care=replace(state.care, awaited=tuple(each for each in state.care.awaited if each not in moves)),
    )
