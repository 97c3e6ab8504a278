"""What time and the market do: marks, expiries, funding, and the background's answer to a move."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from math import exp, log

from serve.clock import HOUR
from serve.rehearsal.accounts import EXCHANGE, margined, rounded
from serve.rehearsal.liquidating import check
from serve.rehearsal.making import fair, quote, trades
from serve.rehearsal.state import Index, Mark, State, outside
from serve.rehearsal.trading import end
from serve.rehearsal.types import ZERO, Fund, Funded, Instrument, Move, Moved, Rules, Settled
from serve.rehearsal.views import Funding

WINDOW = 30 * 60_000  # of the index that options and futures settle at
SMOOTH = 30_000  # half-life of a perpetual's premium in its mark
MOST = 0.005  # of the index, that a mark may be away from it
EIGHT_HOURS = 8 * HOUR
INTEREST = Decimal("0.0001")  # per eight hours, of the clamped formula
CLAMP = Decimal("0.0005")
DEAD = Decimal("0.00025")
STEP = Decimal("1e-10")  # of a rate
CENT = Decimal("0.01")  # of a settlement price


def move(state: State, moved: Move) -> None:
    before = state.indices.get(moved.asset)
    elapsed = moved.time - before.time if before is not None else 0
    index = state.indices[moved.asset] = before or Index(moved.index, moved.time, moved.volatility)
    listed = [each for each in state.instruments.values() if each.base == moved.asset and each.name in state.books]
    for each in listed:
        if each.expiry is not None and each.expiry <= moved.time:
            _settle(state, each, index)
    index.price, index.time, index.volatility = moved.index, moved.time, moved.volatility
    _remember(index)
    state.funded_at = state.funded_at or moved.time
    for each in listed:
        if each.name in state.books:
            _remark(state, each, moved, elapsed)
    if not state.maintenance:
        check(state)
    state.tell(Moved(moved.time, moved.asset))


def fund(state: State, _: Fund) -> None:
    """Longs pay shorts, or the other way round, for the time since the last payment; nothing before the first move."""
    elapsed = state.now - state.funded_at
    for each in state.instruments.values():
        if each.kind == "perpetual" and each.name in state.marks and elapsed > 0:
            rate = (funding_rate(state, each.name) * elapsed / EIGHT_HOURS).quantize(STEP)
            _pay(state, each, rate, elapsed / HOUR)
            state.marks[each.name].premium_time = 0.0
    state.funded_at = state.now


def funding_rate(state: State, perpetual: str) -> Decimal:
    """Per eight hours, on the mean premium since funding was paid last."""
    mark, elapsed = state.marks[perpetual], state.now - state.funded_at
    premium = mark.premium_time / elapsed if elapsed > 0 else mark.basis
    return formula(Decimal(premium).quantize(STEP), state.rules)


def formula(premium: Decimal, rules: Rules) -> Decimal:
    """Deribit's: what the premium has beyond ±0.025 %. Binance's: premium + clamp(interest - premium, ±0.05 %)."""
    if rules.funding == "deadband":
        rate = max(DEAD, premium) + min(-DEAD, premium)
    else:
        rate = premium + min(max(INTEREST - premium, -CLAMP), CLAMP)
    return min(max(rate, -rules.funding_cap), rules.funding_cap)


def _remember(index: Index) -> None:
    index.past.append((index.time, index.price))
    while index.past[0][0] < index.time - WINDOW:
        index.past.popleft()


def _remark(state: State, each: Instrument, moved: Move, elapsed: int) -> None:
    """An instrument's mark, its makers' quotes, and those who trade with them."""
    worth, half_spread, volatility = fair(each, moved)
    mark = state.marks.setdefault(each.name, Mark(ZERO))
    mark.volatility = volatility
    if each.kind == "perpetual":
        mark.premium_time += mark.basis * elapsed
        premium = max(-MOST, min(MOST, moved.premium))
        weight = 1 - exp(-log(2) * elapsed / SMOOTH) if mark.price else 1.0
        mark.basis += weight * (premium - mark.basis)
        worth_now = float(moved.index) * (1 + mark.basis)
    else:
        worth_now = worth
    mark.price = max((Decimal(worth_now) / each.tick).to_integral_value(ROUND_HALF_EVEN), Decimal(1)) * each.tick
    state.tapes[each.name].marked(state.now, mark.price)
    if not state.maintenance:
        quote(state, each, moved, worth, half_spread)
        trades(state, each, moved, elapsed)


def _pay(state: State, perpetual: Instrument, rate: Decimal, hours: float) -> None:
    mark, index = state.marks[perpetual.name].price, state.indices[perpetual.base].price
    state.tapes[perpetual.name].fundings.append(Funding(state.now, perpetual.name, rate, hours, mark, index))
    for account in sorted(state.accounts.holdings):
        units = state.units(account, perpetual.name)
        if not units:
            continue
        paid = rounded(units * mark * rate)
        state.accounts.pay(account, EXCHANGE, perpetual.settle, paid)  # and from there to the other side
        if outside(account):
            told = Funded(state.now, account, perpetual.name, units, rate, mark, paid)
            state.payments[account].append(told)
            state.tell(told)


def _settle(state: State, expired: Instrument, index: Index) -> None:
    """At the time-weighted index of the half hour before expiry."""
    book = state.books[expired.name]
    for order in [*book.bids.walk(), *book.asks.walk()]:
        end(state, order, "settled")
    assert expired.expiry is not None
    price = _weighted(index, expired.expiry)
    worth = _payoff(expired, price)
    for account in sorted(state.accounts.holdings):
        units = state.units(account, expired.name)
        if units:
            realised = state.accounts.trade(account, expired, -units, worth)
            if outside(account):
                paid = realised if margined(expired) else units * worth
                told = Settled(state.now, account, expired.name, units, price, paid)
                state.payments[account].append(told)
                state.tell(told)
    del state.books[expired.name], state.marks[expired.name]
    state.quoted.pop(expired.name, None)


def _payoff(expired: Instrument, price: Decimal) -> Decimal:
    if margined(expired):
        return price
    assert expired.strike is not None
    return max(price - expired.strike if expired.right == "call" else expired.strike - price, ZERO)


def _weighted(index: Index, until: int) -> Decimal:
    """Each price counts for as long as it stood, to the cent."""
    past = [(time, price) for time, price in index.past if time < until]
    ends = [time for time, _ in past[1:]] + [until]
    start = until - WINDOW
    spans = [(end - max(time, start), price) for (time, price), end in zip(past, ends, strict=True) if end > start]
    length = sum(span for span, _ in spans)
    return (sum((span * price for span, price in spans), ZERO) / length if length else index.price).quantize(CENT)
