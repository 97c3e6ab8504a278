"""What an order pays and when it fills, worked out by hand, and how it grows."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from envs import costs
from envs.calibration import validated
from envs.costs import Execution, FeeTier, Fill, Schedule, Tradable
from envs.seeding import generators
from envs.types import BadInput, Quote

F64 = torch.float64
CPU = torch.device("cpu")


def schedule(*executions: Execution, dtype: torch.dtype = F64) -> Schedule:
    return Schedule.of(executions or (Execution(),), dtype, CPU)


def tradable(
    mark: float = 50_000.0, half_spread: float = 1e-4, depth: float = 1e6, congestion: float = 0.0, instruments: int = 1
) -> Tradable:
    fields = (mark, half_spread, depth, congestion)
    return Tradable(*(torch.full((1, instruments), value, dtype=F64) for value in fields))


def trades(*units: float) -> Tensor:
    """(1, G, 1)"""
    return torch.tensor(units, dtype=F64)[None, :, None]


def filled(units: Tensor, at: Tradable | None = None, **settings: Any) -> Fill:
    return costs.fills(schedule(Execution(**settings)), at or tradable(), units, torch.zeros_like(units))


def listed(values: Tensor) -> list[float]:
    return list(values.flatten().tolist())


def test_an_order_as_large_as_the_depth_slips_by_spread_and_whole_impact() -> None:
    """20 units at 50,000 are the depth of 1e6; a quarter of that slips half the impact."""
    found = filled(trades(20.0, -20.0, 5.0, 0.0))
    assert listed(found.price) == pytest.approx([50_015.0, 49_985.0, 50_010.0, 50_000.0], rel=1e-9)
    assert listed(found.slippage) == pytest.approx([300.0, 300.0, 50.0, 0.0], rel=1e-9)
    assert listed(found.fee) == pytest.approx([500.15, 499.85, 125.025, 0.0], rel=1e-9)
    assert listed(found.gas) == [0.0]
    assert torch.equal(found.units, trades(20.0, -20.0, 5.0, 0.0))


SIZES = st.just(0.0) | st.floats(1e-6, 1e3) | st.floats(-1e3, -1e-6)


@given(units=SIZES, mark=st.floats(1e-2, 1e6), depth=st.floats(1e3, 1e9), half_spread=st.floats(0, 0.01))
def test_default_settings_pay_taker_fee_spread_and_square_root(
    units: float, mark: float, depth: float, half_spread: float
) -> None:
    """fee 5e-4·|units|·price; price = mark·(1 ± (half-spread + 2e-4·√(notional/depth))), the root smoothed by 1e-12."""
    found = filled(trades(units), tradable(mark, half_spread, depth))
    slip = half_spread + 2e-4 * math.sqrt(abs(units) * mark / depth + 1e-12)
    price = mark * (1 + math.copysign(slip, units)) if units else mark
    assert float(found.price) == pytest.approx(price, rel=1e-13)
    assert float(found.fee) == pytest.approx(5e-4 * abs(units) * price, rel=1e-12)
    assert float(found.slippage) == pytest.approx(abs(units) * mark * slip, rel=1e-12)


def test_the_perpetual_of_a_quote() -> None:
    quote = Quote(*(torch.tensor([float(place)], dtype=F64) for place in range(1, 11)))
    found = Tradable.perpetual(quote)
    for name in ("mark", "half_spread", "depth", "congestion"):
        assert torch.equal(getattr(found, name), getattr(quote, name)[:, None])


def test_each_path_hedger_and_instrument_has_its_own_fill() -> None:
    """What comes out of the batch is what comes out alone, to rounding."""
    (generator,) = generators(401, 1)
    paths, hedgers = 7, 3
    plans = (
        Execution(passive_share=0.4, gas=2.0, gas_stress=3.0),
        Execution(tiers=(FeeTier(), FeeTier(volume=1e5, maker=1e-4, taker=3e-4)), participation=0.5),
    )

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=F64)

    at = Tradable(100 * draw(paths, 2) + 1, 1e-3 * draw(paths, 2), 1e4 * draw(paths, 2) + 1, draw(paths, 2))
    trade, traded = 100 * draw(paths, hedgers, 2) - 50, 2e5 * draw(paths, hedgers, 2)
    whole = costs.fills(schedule(*plans), at, trade, traded)
    for path in range(paths):
        for k, plan in enumerate(plans):
            alone = Tradable(*(field[path : path + 1, k : k + 1] for field in vars(at).values()))
            for hedger in range(hedgers):
                place = (slice(path, path + 1), slice(hedger, hedger + 1), slice(k, k + 1))
                single = costs.fills(schedule(plan), alone, trade[place], traded[place])
                for name, value in vars(whole).items():
                    torch.testing.assert_close(
                        value[place].expand(1, 1, 1), getattr(single, name).expand(1, 1, 1), rtol=1e-13, atol=1e-13
                    )


def test_fees_fall_as_the_traded_volume_reaches_a_tier() -> None:
    """Taker 5 bp below a million, 4 bp from there on; the other instrument has one tier."""
    tiers = (FeeTier(), FeeTier(volume=1e6, maker=1e-4, taker=4e-4))
    plan = schedule(Execution(tiers=tiers, impact=0), Execution(impact=0))
    traded = torch.tensor([[[999_999.0, 999_999.0], [1e6, 1e6]]], dtype=F64)
    found = costs.fills(plan, tradable(half_spread=0.0, instruments=2), torch.ones_like(traded), traded)
    assert found.fee[0].tolist() == [pytest.approx([25.0, 25.0]), pytest.approx([20.0, 25.0])]


def test_the_resting_part_pays_the_maker_fee_and_no_spread() -> None:
    """10 units, half of them resting when calm, a quarter at congestion ½: spread and impact on the rest alone."""
    for congestion, share in ((0.0, 0.5), (0.5, 0.25)):
        found = filled(trades(10.0), tradable(congestion=congestion), passive_share=0.5)
        notional, taking = 500_000.0, (1 - share) * 500_000.0
        lost = taking * (1e-4 + 2e-4 * math.sqrt(taking / 1e6))
        assert float(found.slippage) == pytest.approx(lost, rel=1e-9)
        assert float(found.price) == pytest.approx(50_000 + lost / 10, rel=1e-12)
        assert float(found.fee) == pytest.approx((share * 2e-4 + (1 - share) * 5e-4) * (notional + lost), rel=1e-12)


def test_gas_is_paid_by_the_trade_and_grows_with_congestion() -> None:
    found = filled(trades(3.0, -1e-9, 0.0), tradable(congestion=0.5), gas=4.0, gas_stress=10.0)
    assert listed(found.gas) == pytest.approx([24.0, 24.0, 0.0])


def test_a_fill_is_limited_by_the_depth_at_hand() -> None:
    """A quarter of a depth of 1e6 at 50,000 is five units."""
    found = filled(trades(8.0, -8.0, 4.0), participation=0.25)
    assert listed(found.units) == pytest.approx([5.0, -5.0, 4.0])
    assert listed(found.slippage) == pytest.approx([50.0, 50.0, 200_000 * (1e-4 + 2e-4 * math.sqrt(0.2))], rel=1e-9)


def test_cost_is_differentiable_everywhere_and_where_nothing_is_traded() -> None:
    """The square root's slope at zero would be infinite, and infinite times zero is no number."""
    plan = schedule(Execution(passive_share=0.3, gas=1.0, participation=1.0))

    def paid(order: Tensor) -> Tensor:
        found = costs.fills(plan, tradable(congestion=0.2), order, torch.zeros_like(order))
        return found.units * found.price + found.fee

    orders = trades(3.0, -7.0, 0.5).requires_grad_()
    assert torch.autograd.gradcheck(paid, (orders,))
    still = trades(0.0).requires_grad_()
    paid(still).sum().backward()  # type: ignore[no-untyped-call]
    assert still.grad is not None
    assert still.grad.item() == pytest.approx(50_000.0)


@given(units=st.floats(1e-3, 1e4), more=st.floats(1.01, 10.0))
def test_larger_orders_slip_more_and_deeper_books_less(units: float, more: float) -> None:
    def slip(units: float, **at: Any) -> float:
        return float(filled(trades(units), tradable(**at)).slippage) / (abs(units) * 50_000)

    base = slip(units)
    assert slip(units * more) > base
    assert slip(units, depth=1e6 * more) < base
    assert slip(units, half_spread=1e-4 * more) > base
    assert slip(-units) == base
    assert slip(4 * units) - 1e-4 == pytest.approx(2 * (base - 1e-4), rel=1e-5)


@given(units=st.floats(-1e4, 1e4), factor=st.floats(1e-3, 1e3))
def test_costs_know_no_currency(units: float, factor: float) -> None:
    one = filled(trades(units), passive_share=0.3, participation=2.0)
    at = tradable(mark=50_000.0 * factor, depth=1e6 * factor)
    other = filled(trades(units), at, passive_share=0.3, participation=2.0)
    for name in ("price", "fee", "slippage"):
        assert float(getattr(other, name)) == pytest.approx(factor * float(getattr(one, name)), rel=1e-10)


def test_an_order_is_rejected_late_or_filled_at_once_as_often_as_set() -> None:
    """At congestion ½ half the chances; k = 4 binomial standard errors, n = 100,000. Never when calm."""
    n = 100_000
    (generator,) = generators(402, 1)
    uniform = torch.rand(n, 2, generator=generator, dtype=F64)
    plan = schedule(Execution(rejection=0.3, delay=0.6), Execution(rejection=0.3, latency_bars=1))
    assert plan.rejects
    assert plan.delays
    congestion = torch.full((n, 2), 0.5, dtype=F64)
    refused = costs.rejected(plan, congestion, uniform)
    delayed = costs.late(plan, congestion, uniform)
    assert not (refused & delayed).any()
    for found, expected in ((refused[:, 0], 0.15), (refused[:, 1], 0.15), (delayed[:, 0], 0.3)):
        assert abs(float(found.double().mean()) - expected) < 4 * math.sqrt(expected * (1 - expected) / n)
    assert torch.equal(delayed[:, 1], ~refused[:, 1])
    calm = torch.zeros_like(congestion)
    assert not costs.rejected(plan, calm, uniform).any()
    assert not costs.late(plan, calm, uniform)[:, 0].any()


def test_what_is_switched_off_is_known_to_the_host() -> None:
    plain = schedule()
    assert not any((plain.passive, plain.pays_gas, plain.partial, plain.rejects, plain.delays))
    full = schedule(
        Execution(), Execution(passive_share=0.1, gas=1, participation=1, rejection=0.1, delay=0.1, latency_bars=1)
    )
    assert all((full.passive, full.pays_gas, full.partial, full.rejects, full.delays))
    with pytest.raises(BadInput, match="no hedging instrument"):
        Schedule.of([], F64, CPU)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tiers": [{"volume": 0}, {"volume": 0}]}, "must rise in volume, 0 follows 0"),
        ({"tiers": [{"volume": 5}]}, "must start at volume 0"),
        ({"tiers": []}, "must start at volume 0"),
        ({"tiers": [{"maker": 6e-4}]}, "maker fee 0.0006 is above the taker fee 0.0005"),
        ({"tiers": [{"maker": -6e-4}]}, "rebate 0.0006 is above the taker fee"),
        ({"tiers": [{}, {"volume": 10, "taker": 6e-4}]}, "fees must not rise with volume, they do at 10"),
        ({"rejection": 0.6, "delay": 0.5}, "must not add up to more than 1"),
        ({"passive_share": 1.1}, "less than or equal to 1"),
        ({"impact": -1e-4}, "greater than or equal to 0"),
        ({"participation": 0}, "greater than 0"),
        ({"latency_bars": 2}, "should be 0 or 1"),
        ({"gas": float("nan")}, "finite"),
    ],
)
def test_contradictions_are_errors_of_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as raised:
        validated(Execution, settings, "execution")
    assert "\n" not in str(raised.value)
