"""Whatever comes at the engine, in whatever order: money and units add up, and no order leaves that must not."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from serve import codec
from serve.clock import HOUR, SECOND
from serve.commands import Ask, Flat, Infer, LookUp, Output, SubmitOrder
from serve.engine import Engine
from serve.events import (
    BalanceReport,
    BarClosed,
    BookSettled,
    CollateralMoved,
    DecisionDue,
    Event,
    Filled,
    FundingPaid,
    Heartbeat,
    Inference,
    Malformed,
    Operator,
    TargetSet,
)
from serve.exposure import exact
from serve.orders import OrderEvent
from serve.state import State
from serve.states import Monitor, RiskState
from tests.serve.books import ETH, ether, pair_started, sold, warm
from tests.serve.support import SPOT, START, quote
from tests.serve.truth import ZERO, Truth, unsure

D = Decimal
FIRST = pair_started(
    with_model=True,
    **{
        "limits__legs__BTC-PERP": {name: {"soft": "3", "hard": "4"} for name in ("order", "position")},
        "limits__legs__ETH-PERP__order": {"soft": "60", "hard": "80"},
        "execution__slice_seconds": 60,
        "clocks__reconcile_seconds": 600,
        "limits__max_messages": 8,
    },
)
ENGINE = Engine.opened(FIRST)
SYMBOLS = ENGINE.setup.market.symbols
ASSETS = st.sampled_from(["BTC", "ETH"])
QUOTES = {"BTC": quote, "ETH": ether}
GOOD = [(0.0,) * 4, (0.5, -1.0, -0.5, -1.0), (-0.2, 0.3, 0.2, -0.4)]


class Serving(RuleBasedStateMachine):
    """One session over two assets, with the model that answers when it likes."""

    @initialize()
    def opened(self) -> None:
        self.state, self.truth, self.now = ENGINE.initial(), Truth(), START + 2
        self.journal: list[tuple[Event, tuple[Output, ...]]] = []
        self.spots = {"BTC": SPOT, "ETH": ETH}
        self.mail, self.told = list[OrderEvent](), list[OrderEvent]()
        self.questions, self.looks, self.asks = list[Infer](), list[LookUp](), list[Ask]()
        self.traded, self.funded, self.books = dict[str, Filled](), ZERO, 0
        self.feeds(FIRST, *warm())
        self.the_desk_trades("BTC", 1.0, "-10")

    @rule(asset=ASSETS, move=st.sampled_from([-0.1, -0.01, -0.001, 0.0, 0.001, 0.01, 0.1]), wait=st.integers(0, 70))
    def quotes(self, asset: str, move: float, wait: int) -> None:
        self.now += wait * SECOND + 1
        self.spots[asset] *= 1 + move
        self.feeds(self.tick(asset))

    @rule(wait=st.sampled_from([1, 20, 700]))
    def time_passes(self, wait: int) -> None:
        self.now += wait * SECOND
        self.feeds(Heartbeat(self.now))

    @rule()
    def a_bar_ends(self) -> None:
        self.now = (self.now // HOUR + 1) * HOUR
        self.feeds(*map(self.tick, self.spots), BarClosed(self.now, self.now), DecisionDue(self.now))

    @rule(asset=ASSETS, moneyness=st.sampled_from([0.95, 1.0, 1.05]), units=st.sampled_from(["-10", "-3", "4", "10"]))
    def the_desk_trades(self, asset: str, moneyness: float, units: str) -> None:
        self.books += 1
        strike = round(self.spots[asset] * moneyness)
        self.feeds(sold(self.now, asset, units, strike, hours=900, id=f"{asset}-{self.books}"))

    @precondition(lambda self: self.state.book.holdings)
    @rule(data=st.data())
    def a_holding_settles(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.state.book.holdings)))
        self.feeds(BookSettled(self.now, name, self.spots["BTC"], D(-5)))

    @rule(asset=ASSETS, ratio=st.sampled_from([0.0, 0.5, 1.0, 1.5]), delta=st.sampled_from([-1.0, 0.0, 1.0]))
    def the_target_moves(self, asset: str, ratio: float, delta: float) -> None:
        self.feeds(TargetSet(self.now, asset, delta, 0.0, 0.0, ratio, 0.0, 0.0, "ann"))

    @precondition(lambda self: self.questions)
    @rule(action=st.sampled_from([*GOOD, *GOOD, (float("nan"),) * 4, (0.0,), None]))
    def a_model_answers(self, action: Any) -> None:
        asked = self.questions.pop()
        self.feeds(Inference(self.now, asked.request, asked.model, action, "" if action else "boom"))

    @precondition(lambda self: self.truth.away)
    @rule(data=st.data(), fate=st.sampled_from(["arrives", "arrives", "arrives", "rejected", "vanishes"]))
    def an_order_arrives(self, data: st.DataObject, fate: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.truth.away)))
        if fate == "vanishes":
            self.truth.vanishes(name)
        else:
            self.mail.append(self.truth.arrives(name, self.now, fate == "rejected"))

    @precondition(lambda self: self.truth.left)
    @rule(data=st.data(), share=st.sampled_from(["0.3", "1", "1", "end"]))
    def an_order_fills(self, data: st.DataObject, share: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.truth.left)))
        done = self.truth.ends(name, self.now) if share == "end" else self.truth.fills(name, self.now, share)
        self.mail.append(done)

    @precondition(lambda self: self.mail)
    @rule(data=st.data())
    def a_message_comes(self, data: st.DataObject) -> None:
        self.hears(self.mail.pop(data.draw(st.integers(0, len(self.mail) - 1))))

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def a_message_comes_again(self, data: st.DataObject) -> None:
        self.hears(data.draw(st.sampled_from(self.told)))

    @precondition(lambda self: self.truth.sent)
    @rule(data=st.data())
    def a_reply_is_lost(self, data: st.DataObject) -> None:
        self.feeds(unsure(data.draw(st.sampled_from(sorted(self.truth.sent))), self.now))

    @precondition(lambda self: self.looks)
    @rule()
    def an_order_is_looked_up(self) -> None:
        found = self.truth.look_up(self.looks.pop(0), self.now)
        self.feeds(*found)
        self.traded |= {event.trade: event for event in found if isinstance(event, Filled)}

    @precondition(lambda self: self.asks)
    @rule()
    def the_venue_reports(self) -> None:
        self.feeds(self.truth.report(self.asks.pop(0), self.now, SYMBOLS))

    @rule(symbol=st.sampled_from(SYMBOLS), cash=st.sampled_from(["-3.5", "0.25"]))
    def funding_is_paid(self, symbol: str, cash: str) -> None:
        self.truth.cash += D(cash)
        self.funded += D(cash)
        self.feeds(FundingPaid(self.now, symbol, D(cash)))

    @precondition(lambda self: any(self.truth.positions.values()))
    @rule(use=st.sampled_from([0.01, 0.1, 0.3, 0.8]), sent=st.sampled_from(["0", "0", "50000"]))
    def margin_is_told_and_collateral_sent(self, use: float, sent: str) -> None:
        self.feeds(BalanceReport(self.now, self.now, self.truth.cash, use))
        if sent != "0":
            self.truth.cash += D(sent)
            self.feeds(CollateralMoved(self.now, "paper", D(sent), "outside", self.now, "ann", "asked"))

    @rule(
        action=st.sampled_from(["halt", "resume", "resume", "flatten", "rollback", "override"]),
        subject=st.sampled_from(["", "close", "delta:BTC"]),
    )
    def a_person_acts(self, action: Any, subject: str) -> None:
        self.feeds(Operator(self.now, action, "ann", "exercise", subject))

    @rule()
    def a_person_acknowledges_everything(self) -> None:
        for name in sorted(self.state.monitors):
            self.feeds(Operator(self.now, "acknowledge", "ann", "seen", name))

    @rule()
    def noise(self) -> None:
        old, worthless = quote(self.now, quoted_at=START - HOUR), quote(self.now, float("nan"))
        self.feeds(
            old, worthless, Malformed(self.now, "wire", "?", "no JSON"), Filled(self.now, "x-1", "t", D(1), D(1), ZERO)
        )

    @rule()
    def restarts(self) -> None:
        """A new process, whose questions are gone; what the venue has is still there, and its mail still comes."""
        self.questions, self.looks, self.asks = [], [], []
        self.feeds(replace(FIRST, time=self.now))

    @invariant()
    def positions_and_cash_are_those_of_the_fills(self) -> None:
        for symbol in SYMBOLS:
            fills = [each for each in self.traded.values() if self.truth.sent[each.order].symbol == symbol]
            assert self.state.ledger.position(symbol) == sum((each.units for each in fills), ZERO)
        paid = sum((each.units * each.price + each.fee for each in self.traded.values()), ZERO)
        assert self.state.ledger.hedge_cash == self.funded - paid

    @invariant()
    def what_may_still_fill_is_reserved(self) -> None:
        """Every order that works or is on its way in time; but for one that was absent and expired."""
        known = {order.id for order in self.state.reserved}
        away = {name for name, order in self.truth.away.items() if order.expires_at >= self.now}
        assert {*self.truth.left, *away} <= known | self.untold()

    @invariant()
    def a_venue_that_does_not_lie_is_not_called_a_liar(self) -> None:
        assert "integrity" not in self.state.monitors, self.state.monitors["integrity"].reason

    def untold(self) -> set[str]:
        """Orders of which something is still in the mail."""
        return {event.order for event in self.mail}

    def tick(self, asset: str) -> Event:
        return QUOTES[asset](self.now, self.spots[asset])

    def hears(self, event: OrderEvent) -> None:
        self.told.append(event)
        if isinstance(event, Filled):
            self.traded[event.trade] = event
        self.feeds(replace(event, time=self.now))

    def feeds(self, *events: Event) -> None:
        for event in events:
            before = self.state
            self.state, outputs = ENGINE.step(before, event)
            self.journal.append((event, outputs))
            assert " raised " not in self.state.monitors.get("integrity", Monitor()).reason, "the core failed at it"
            self.questions += [each for each in outputs if isinstance(each, Infer)]
            self.looks += [each for each in outputs if isinstance(each, LookUp)]
            self.asks += [each for each in outputs if isinstance(each, Ask)]
            for order in (each for each in outputs if isinstance(each, SubmitOrder)):
                self.truth.takes(order)
                allowed(self.state, order)
            for flat in (each for each in outputs if isinstance(each, Flat)):
                assert not self.truth.left
                assert all(self.truth.positions[name] == units for name, units in flat.positions)

    def teardown(self) -> None:
        """The journal's bytes make the same outputs and the same end again."""
        state = ENGINE.initial()
        for event, outputs in self.journal:
            state, again = ENGINE.step(state, codec.decode(codec.encode(event)))  # type: ignore[arg-type]
            assert [codec.encode(each) for each in again] == [codec.encode(each) for each in outputs]
        assert (state.ledger, state.orders, state.risk) == (self.state.ledger, self.state.orders, self.state.risk)


def allowed(state: State, order: SubmitOrder) -> None:
    """`state`: with the order in flight."""
    asset = order.symbol[:3]
    assert [each.id for each in state.in_flight if each.symbol == order.symbol] == [order.order], "two hedges at once"
    held, limits = state.ledger.position(order.symbol), ENGINE.setup.config.limits.legs[order.symbol]
    assert abs(order.units) <= limits.order.hard
    flying = [each.left for each in state.reserved if each.symbol == order.symbol]
    worst = max(abs(held + sum((u for u in flying if u * sign > 0), ZERO)) for sign in (1, -1))
    assert worst <= limits.position.hard or order.units * held < 0
    assert not state.venue.awaited
    assert not order.reduce_only or (order.units * held < 0 and abs(order.units) <= abs(held))
    if state.flatten is not None:
        return
    assert state.risk is not RiskState.HALTED
    if state.risk is RiskState.REDUCING and not order.reduce_only:
        assert shrinks(state, asset, order), "risk may have grown"


def shrinks(state: State, asset: str, order: SubmitOrder) -> bool:
    """However the orders in flight fill, net delta does not turn: it comes nearer to the target."""
    valuation = state.valuations[asset]
    leg = valuation.legs[order.symbol]
    net = (
        exact(valuation.book.delta)
        - exact(state.targets[asset].delta)
        + state.ledger.position(order.symbol) * exact(leg.delta)
    )
    moves = [each.left * exact(leg.delta) for each in state.reserved if each.symbol == order.symbol]
    if order.units > 0:
        return net + sum((m for m in moves if m > 0), ZERO) <= D("1e-9")
    return net + sum((m for m in moves if m < 0), ZERO) >= D("-1e-9")


QUICK = settings(max_examples=6, stateful_step_count=50, deadline=None, derandomize=True)
LONG = settings(
    max_examples=120, stateful_step_count=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
Serving.TestCase.settings = QUICK
TestServing = Serving.TestCase


@pytest.mark.slow
def test_serving_at_length() -> None:
    run_state_machine_as_test(Serving, settings=LONG)
