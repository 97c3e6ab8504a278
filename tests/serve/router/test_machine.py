"""However the venues misbehave, no child is lost or sent twice, and an order's fills are its children's."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

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

from serve.commands import CancelOrder, LookUp, SubmitOrder
from serve.events import Event
from serve.orders import Order, OrderEvent, applied, unknown
from tests.serve.router.fakes import LOT, START, Fake, order, routed

D = Decimal
FATES = ["works", "works", "fills", "refuses", "breaks", "vanishes", "is late", "is silent"]


class Trading(RuleBasedStateMachine):
    """The core is played by `serve.orders`, which raises for whatever may not be told."""

    @initialize(fates=st.lists(st.sampled_from(FATES), min_size=6, max_size=9))
    def opened(self, fates: list[Any]) -> None:
        """With two venues or three, and an order at all of them."""
        count = len(fates) // 3
        self.fakes = [Fake(f"v{number}", asks=(("100", "3"), (str(101 + number), "9"))) for number in range(count)]
        self.venue, self.now = routed(*self.fakes), START
        self.core: dict[str, Order] = {}
        self.sent: dict[str, SubmitOrder] = {}
        self.past: list[Event] = []
        self.an_order_goes_out("9", fates[:count], False)
        self.an_order_goes_out("-30", fates[count:], False)

    @rule(
        units=st.sampled_from(["0.1", "2", "-5", "9", "30"]),
        fates=st.lists(st.sampled_from(FATES), min_size=3, max_size=3),
        rests=st.booleans(),
    )
    def an_order_goes_out(self, units: str, fates: list[Any], rests: bool) -> None:
        for fake, fate in zip(self.fakes, fates, strict=False):
            fake.fate = fate
        made = order(len(self.sent) + 1, units, time=self.now, expires_at=self.now + 9000, post_only=rests)
        self.sent[made.order] = made
        self.core[made.order] = Order(
            made.order, made.symbol, made.units, self.now, made.expires_at, D(100), rests=rests
        )
        self.hears(self.venue.submit(made))

    @rule(data=st.data(), share=st.sampled_from(["0.1", "0.5", "1"]), told=st.booleans())
    def a_venue_fills(self, data: st.DataObject, share: str, told: bool) -> None:
        working = [(fake, name) for fake in self.fakes for name, each in fake.orders.items() if each.left != 0]
        if working:
            fake, name = data.draw(st.sampled_from(working))
            left = fake.orders[name].left
            units = max(LOT, (abs(left) * D(share)) // LOT * LOT).copy_sign(left)
            fill = fake.fill(name, units)
            fake.mail += [fill] if told else []

    @rule(data=st.data(), told=st.booleans())
    def a_venue_ends_an_order(self, data: st.DataObject, told: bool) -> None:
        working = [(fake, name) for fake in self.fakes for name, each in fake.orders.items() if each.left != 0]
        if working:
            fake, name = data.draw(st.sampled_from(working))
            fake.orders[name].over = True
            fake.mail += fake.known(name) if told else []

    @rule(data=st.data())
    def a_late_order_arrives(self, data: st.DataObject) -> None:
        coming = [(fake, name) for fake in self.fakes for name in fake.coming]
        if coming:
            fake, name = data.draw(st.sampled_from(coming))
            fake.arrive(name)

    @rule(data=st.data())
    def a_venue_goes_deaf_or_hears_again(self, data: st.DataObject) -> None:
        fake = data.draw(st.sampled_from(self.fakes))
        fake.deaf = not fake.deaf

    @rule(data=st.data())
    def mail_comes_twice_and_out_of_turn(self, data: st.DataObject) -> None:
        fake = data.draw(st.sampled_from(self.fakes))
        fake.mail = data.draw(st.permutations(fake.mail + fake.mail[:2]))

    @rule(seconds=st.sampled_from([0, 1, 6, 61]))
    def the_loop_turns(self, seconds: int) -> None:
        self.passes(seconds * 1000)

    @precondition(lambda self: any(each.reserved for each in self.core.values()))
    @rule(data=st.data(), cancels=st.booleans())
    def an_order_is_looked_up_or_cancelled(self, data: st.DataObject, cancels: bool) -> None:
        name = data.draw(st.sampled_from([each.id for each in self.core.values() if each.reserved]))
        if cancels:
            self.hears(self.venue.cancel(CancelOrder(self.now, name)))
        else:
            self.looks_up(name)

    @rule()
    def the_hedger_is_killed(self) -> None:
        """What the venues told and nobody fetched is lost with it."""
        for fake in self.fakes:
            fake.mail = []
        self.core = {name: unknown(each, self.now) if each.reserved else each for name, each in self.core.items()}
        self.venue = routed(*self.fakes)
        reserved = SimpleNamespace(reserved=[each for each in self.core.values() if each.reserved])
        self.venue.remember(self.past, self.sent, cast(Any, reserved))

    @invariant()
    def no_more_is_sent_than_was_ordered(self) -> None:
        for name, made in getattr(self, "sent", {}).items():
            shares = [at.order.units for fake in self.fakes for at in self.at(fake, name)]
            assert all(share * made.units > 0 and share % LOT == 0 for share in shares)
            assert abs(sum(shares)) <= abs(made.units)

    @invariant()
    def nothing_is_at_a_venue_of_an_order_that_ended(self) -> None:
        for name, each in getattr(self, "core", {}).items():
            assert each.reserved or all(at.left == 0 for fake in self.fakes for at in self.at(fake, name))

    @invariant()
    def fills_told_are_fills_made(self) -> None:
        for name, each in getattr(self, "core", {}).items():
            assert abs(each.filled) <= abs(self.truth(name))

    def teardown(self) -> None:
        """With venues that answer, everything comes out: each order has ended, and its fills are the children's."""
        for fake in getattr(self, "fakes", []):
            fake.deaf = False
            for name in list(fake.coming):
                fake.arrive(name)
        self.passes(10_000) if hasattr(self, "venue") else None
        for _ in range(4):
            for name in list(getattr(self, "core", {})):
                if self.core[name].reserved:
                    self.hears(self.venue.cancel(CancelOrder(self.now, name)))
                if self.core[name].reserved:
                    self.looks_up(name)
        for name, each in getattr(self, "core", {}).items():
            assert not each.reserved, f"{name} is {each.status}"
            assert each.filled == self.truth(name)

    def passes(self, milliseconds: int) -> None:
        self.now += milliseconds
        for fake in self.fakes:
            fake.reaches(self.now)
        self.hears(self.venue.passed(self.now))

    def looks_up(self, name: str) -> None:
        self.core[name] = unknown(self.core[name], self.now)
        self.hears(self.venue.look_up(LookUp(self.now, name)))

    def hears(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, OrderEvent):
                self.past.append(event)
                self.core[event.order] = applied(self.core[event.order], event)

    def truth(self, name: str) -> Decimal:
        return sum((fill.units for fake in self.fakes for at in self.at(fake, name) for fill in at.fills), D(0))

    @staticmethod
    def at(fake: Fake, name: str) -> list[Any]:
        return [fake.orders[name]] if name in fake.orders else []


def test_no_child_is_lost_or_doubled() -> None:
    run_state_machine_as_test(
        Trading,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
