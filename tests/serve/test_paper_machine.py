"""Whatever comes at the paper venue: money and units are conserved, nothing fills twice, a restart forgets nothing."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from envs.contract import Hedge
from envs.costs import Execution, FeeTier
from envs.margin import Collateral, Margin
from serve.clock import HOUR, SECOND
from serve.commands import Ask, CancelOrder, LookUp, SubmitOrder
from serve.events import (
    Absent,
    BalanceReport,
    BarClosed,
    Deleveraged,
    Event,
    Filled,
    FundingPaid,
    OrdersReport,
    PositionsReport,
)
from serve.market import Market
from serve.venues.paper import Paper
from tests.serve.books import ASSETS, ETH, ETHER, PAIR, PAIR_LEGS, ether, task_of
from tests.serve.papers import D, standing
from tests.serve.support import CALIBRATION, SPOT, START, VENUE, quote

BUSY = Execution(
    tiers=(FeeTier(), FeeTier(volume=50_000, maker=0.0, taker=3e-4)),
    passive_share=0.3,
    impact=2e-3,
    participation=0.02,
    rejection=0.3,
    delay=0.5,
)
HEDGES = tuple(Hedge(instrument=hedge.instrument, execution=BUSY) for hedge in PAIR.hedges)
THIN = Margin(mode="cross", collateral=(Collateral(amount=0.06), Collateral(amount=0.02, asset=1, haircut=0.2)))
MARKET = Market(
    task_of(PAIR.model_copy(update={"hedges": HEDGES, "margin": THIN}), CALIBRATION, ETHER), ASSETS, PAIR_LEGS
)
MEMORIES = {name: MARKET.filters[place].initial(1) for name, place in MARKET.assets.items()}
WAYS = st.sampled_from([-1.0, 1.0])
SPOTS = {"BTC": SPOT, "ETH": ETH}


class Trading(RuleBasedStateMachine):
    """One account over two assets; the journal is the list of what the venue told, in order."""

    @initialize(latency=st.sampled_from([0.0, 2.0]), seed=st.integers(0, 99), sizes=st.tuples(WAYS, WAYS))
    def opened(self, latency: float, seed: int, sizes: tuple[float, float]) -> None:
        self.settings = VENUE.model_copy(update={"latency_seconds": latency, "seed": seed})
        self.venue, self.now = Paper(MARKET, self.settings), START
        self.journal, self.sent = list[Event](), dict[str, SubmitOrder]()
        self.quotes: dict[str, Any] = {}
        for asset in SPOTS:
            self.moves(asset, 0.0, 0.0, 0, 0.0)
        for leg, size in zip(PAIR_LEGS, sizes, strict=True):
            self.sends(leg, size, 0.02 * size, reduce_only=False, post_only=False)
        self.a_bar_ends()

    @rule(
        asset=st.sampled_from(["BTC", "ETH"]),
        move=st.sampled_from([-0.08, -0.01, -0.001, 0.0, 0.001, 0.01, 0.08]),
        further=st.sampled_from([0.0, 0.002, 0.02]),
        wait=st.sampled_from([0, SECOND, 3 * SECOND]),
        strain=st.sampled_from([0.0, 0.0, 0.6]),
    )
    def moves(self, asset: str, move: float, further: float, wait: int, strain: float) -> None:
        self.now += wait
        spot = SPOTS[asset] * (1 + move)
        made = quote if asset == "BTC" else ether
        low, high = spot * (1 - further), spot * (1 + further)
        tick = made(self.now, spot, low=low, high=high, congestion=strain, deleveraged=strain)
        self.quotes[asset] = tick
        self.heard(*self.venue.show(tick, MEMORIES[asset]))
        self.journal.append(tick)
        self.heard(*self.venue.moved(tick, standing(self.known())))

    @rule(
        leg=st.sampled_from(PAIR_LEGS),
        size=st.sampled_from([-1.0, -0.31, -0.017, 0.0, 0.017, 0.31, 1.0]),
        away=st.sampled_from([-0.02, -0.001, 0.001, 0.02]),
        reduce_only=st.sampled_from([False, False, True]),
        post_only=st.sampled_from([False, False, True]),
    )
    def sends(self, leg: Any, size: float, away: float, reduce_only: bool, post_only: bool) -> None:
        spot = SPOTS[leg.symbol[:3]]
        units = Decimal(round(size * 200_000 / spot / float(leg.lot))) * leg.lot
        limit = D(round(spot * (1 + away), 2)).quantize(D("0.01"))
        name = f"o{len(self.sent)}"
        order = SubmitOrder(self.now, name, leg.symbol, units, limit, self.now + HOUR, reduce_only, post_only)
        self.sent[name] = order
        self.heard(*self.venue.submit(order))

    @rule(data=st.data())
    def asks_again(self, data: st.DataObject) -> None:
        """Sent again or looked up, an order says what it said."""
        if self.sent:
            name = data.draw(st.sampled_from(sorted(self.sent)))
            before = [replaced(event) for event in self.told(name)]
            again = self.venue.submit(self.sent[name])
            if before:
                assert [replaced(event) for event in again] == before
            looked = self.venue.look_up(LookUp(START, name))
            assert [replaced(event) for event in looked if not isinstance(event, Absent)] == before

    @rule(data=st.data())
    def cancels(self, data: st.DataObject) -> None:
        if self.sent:
            self.heard(*self.venue.cancel(CancelOrder(self.now, data.draw(st.sampled_from(sorted(self.sent))))))

    @rule()
    def a_bar_ends(self) -> None:
        self.now += HOUR
        self.heard(*self.venue.passed(self.now))
        self.heard(*self.venue.bar_ended(self.now))
        self.journal.append(BarClosed(self.now, self.now))

    @rule()
    def restarts(self) -> None:
        """The account, the answers and what may still fill are the same."""
        again = Paper(MARKET, self.settings)
        again.remember(self.journal, self.sent, standing(self.known()))
        assert account(again, self.now) == account(self.venue, self.now)
        for name in self.sent:
            assert again.look_up(LookUp(START, name)) == self.venue.look_up(LookUp(START, name))
        working = [venue.report(Ask(self.now, "orders"))[0] for venue in (again, self.venue)]
        assert isinstance(working[0], OrdersReport)
        assert isinstance(working[1], OrdersReport)
        assert set(working[0].resting) == set(working[1].resting)
        self.venue = again

    @invariant()
    def money_and_units_are_conserved(self) -> None:
        cash, positions = Decimal(0), Counter[str]()
        for event in self.journal:
            symbol = self.sent[event.order].symbol if isinstance(event, Filled) else getattr(event, "symbol", "")
            if isinstance(event, Filled | Deleveraged):
                fee = event.fee if isinstance(event, Filled) else Decimal(0)
                cash -= event.units * event.price + fee
                positions[symbol] += event.units  # type: ignore[assignment]
            elif isinstance(event, FundingPaid):
                cash += event.cash
        held, told = account(self.venue, self.now)
        assert told == cash
        assert {name: units for name, units in held if units} == {name: u for name, u in positions.items() if u}

    @invariant()
    def orders_fill_once_and_within_their_terms(self) -> None:
        done, positions, trades = Counter[str](), Counter[str](), set[str]()
        for event in self.journal:
            if isinstance(event, Filled):
                order = self.sent[event.order]
                assert event.trade not in trades
                assert (event.price - order.limit) * order.units <= 0
                held = positions[order.symbol]
                if order.reduce_only:
                    assert abs(held + event.units) < abs(held)
                    assert (held + event.units) * held >= 0
                trades.add(event.trade)
                done[event.order] += event.units  # type: ignore[assignment]
                assert abs(done[event.order]) <= abs(order.units)
                assert event.units * order.units > 0
            if isinstance(event, Filled | Deleveraged):
                symbol = self.sent[event.order].symbol if isinstance(event, Filled) else event.symbol
                positions[symbol] += event.units  # type: ignore[assignment]

    def heard(self, *events: Event) -> None:
        self.journal += events

    def known(self) -> dict[str, Any]:
        return {"BTC": quote(START), "ETH": ether(START), **self.quotes}

    def told(self, name: str) -> list[Event]:
        return [event for event in self.journal if getattr(event, "order", None) == name]


def replaced(event: Event) -> dict[str, Any]:
    """But for when it was told."""
    return {**vars(event), "time": 0, "kind": type(event).__name__}


def account(venue: Paper, now: int) -> tuple[tuple[tuple[str, Decimal], ...], Decimal]:
    (positions,), (balance,) = venue.report(Ask(now, "positions")), venue.report(Ask(now, "balance"))
    assert isinstance(positions, PositionsReport)
    assert isinstance(balance, BalanceReport)
    return positions.positions, balance.cash


Trading.TestCase.settings = settings(max_examples=15, stateful_step_count=30, deadline=None, derandomize=True)
TestTrading = Trading.TestCase
