"""What the venue does to a hedger: liquidation, auto-deleveraging, orders refused, late or filled in part."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from agents.classical.delta_gamma import DeltaGamma
from agents.classical.no_hedge import NoHedge
from envs.hedging import HedgingWorld
from tests.envs.worlds import at, band, carried, contract, free, scripted, tensor, world

SPOT_CLAIM = [{"instrument": {"kind": "spot"}, "units": 1.0}]
TENTH = {"mode": "isolated", "collateral": [{"amount": 0.1}], "tiers": [{"rate": 0.02}], "liquidation_fee": 0.01}
CALM = [100.0] * 13


def rules(**changed: Any) -> Any:
    """Six decisions of two bars on a notional of 1,000: ten base units at 100."""
    fixed = {"bars": 12, "decision_bars": 2, "notional": 1000.0, "claims": SPOT_CLAIM}
    return contract(**{**fixed, **changed})


def passed(made: HedgingWorld, hedge: float, decisions: int = 1) -> HedgingWorld:
    for _ in range(decisions):
        made.advance(at(made, *[hedge] * len(made.contract.hedges)))
    return made


# Liquidation.


def test_a_crash_inside_a_bar_closes_a_long_and_costs_what_margin_says() -> None:
    """Ten units bought at 100 on 100 of collateral; the low of 88 leaves equity of −20 where 2 % of 880 is asked.

    The venue takes all that was posted: loss 100, no fee, the insurance fund bears 20; the close at 99 does not help.
    """
    spots = [100.0, 99.0, *CALM]
    made = scripted(rules(margin=TENTH), spots, low=[100.0, 88.0, *CALM], high=[101.0] * len(spots))
    passed(made, 1.0)
    book = made.episode.book
    assert book.liquidated.tolist() == [[[True]]]
    assert float(book.units) == 0.0
    assert float(book.cash) == pytest.approx(-100.0, abs=1e-9)
    assert float(book.fees) == 0.0
    assert float(made.episode.loss) == pytest.approx(0.1, abs=1e-12)


def test_a_liquidation_short_of_the_collateral_pays_its_fee() -> None:
    """At a low of 91.5: equity 100 − 85 = 15 < 2 % of 915 = 18.3; closed there for −85, and a fee of 1 % of 915."""
    spots = [100.0, 99.0, *CALM]
    made = passed(scripted(rules(margin=TENTH), spots, low=[100.0, 91.5, *CALM], high=[101.0] * len(spots)), 1.0)
    book = made.episode.book
    assert float(book.cash) == pytest.approx(-85 - 9.15, abs=1e-9)
    assert float(book.fees) == pytest.approx(9.15, abs=1e-9)
    assert float(book.slippage) == pytest.approx(85.0, abs=1e-9)  # against the mark of 100 at the decision's end
    assert float(made.episode.loss) == pytest.approx(0.09415, abs=1e-12)


@pytest.mark.parametrize(("low", "out"), [(91.83, True), (91.85, False)])
def test_liquidation_begins_where_equity_meets_maintenance(low: float, out: bool) -> None:
    """100 + 10·(p − 100) = 0.02·10·p at p = 900/9.8 = 91.8367."""
    spots = [100.0, 99.0, *CALM]
    made = passed(scripted(rules(margin=TENTH), spots, low=[100.0, low, *CALM], high=[101.0] * len(spots)), 1.0)
    assert bool(made.episode.book.liquidated) is out


def test_a_squeeze_closes_a_short() -> None:
    """100 − 10·(p − 100) = 0.02·10·p at p = 107.843."""
    for high, out in ((107.8, False), (107.9, True)):
        spots = [100.0, 101.0, *CALM]
        made = scripted(rules(margin=TENTH), spots, high=[100.0, high, *CALM], low=[99.0] * len(spots))
        assert bool(passed(made, -1.0).episode.book.liquidated) is out


def test_the_extremes_of_each_bar_of_a_decision_count() -> None:
    for bar in (1, 2):
        low = [100.0] * 15
        low[bar] = 80.0
        made = scripted(rules(margin=TENTH), [100.0] * 15, low=low)
        assert bool(passed(made, 1.0).episode.book.liquidated), bar
        assert not bool(passed(made, 1.0).episode.book.units), bar


def test_a_liquidated_hedger_is_absorbed_and_its_group_goes_on() -> None:
    """It trades no more until the path's end, bears the claims alone, and comes back with the next episode."""
    spots = [100.0, 80.0, 80.0, *[90.0] * 22]
    made = scripted(rules(margin=TENTH), spots, hedgers=2)
    both = tensor(1.0, -1.0).view(1, 2, 1)
    frozen = None
    for decision in range(6):
        _, ended, loss = made.advance(type(at(made, 0.0))(both, both))
        book = made.episode.book
        assert book.liquidated[0, :, 0].tolist() == [True, False]
        frozen = float(book.cash[0, 0]) if frozen is None else frozen
        assert float(book.cash[0, 0]) == frozen == pytest.approx(-100.0, abs=1e-9)
        assert book.units[0, :, 0].tolist() == ([0.0, 0.0] if decision == 5 else [0.0, -10.0])
    assert ended.all()
    assert loss[0].tolist() == pytest.approx([0.1 + 0.1, 0.0], abs=1e-12)
    made.restart(ended)
    assert not made.episode.book.liquidated.any()
    made.advance(type(at(made, 0.0))(both, both))
    assert made.episode.book.units[0, :, 0].tolist() == pytest.approx([1000 / 90, -1000 / 90])


def test_cross_margin_lets_one_asset_lend_to_another() -> None:
    """Long one, short the other, alike: on one account fewer are closed than alone.

    Not none: inside a bar each asset is taken at its own worst price.
    """
    market = {"kind": "gbm", "settings": {"volatility": [0.8, 0.8], "correlation": [[1, 0.999999], [0.999999, 1]]}}
    hedges = [free(asset=0), free(asset=1)]
    gone = {}
    for mode in ("isolated", "cross"):
        margin = {"mode": mode, "collateral": [{"amount": 0.05}], "tiers": [{"rate": 0.02}]}
        made = world(911, 200, contract(claims=SPOT_CLAIM, hedges=hedges, margin=margin), market=market)
        for _ in range(made.contract.decisions - 1):
            made.advance(at(made, 0.5, -0.5))
        gone[mode] = float(made.episode.book.liquidated.any(-1).double().mean())
    assert 2 * gone["cross"] < gone["isolated"]
    assert gone["isolated"] > 0.5


def test_portfolio_margin_counts_the_claims_that_are_hedged() -> None:
    """A perpetual short of a spot held survives a squeeze that closes it where only its own loss is seen."""
    spots = [100.0, 160.0, 160.0, *[160.0] * 10]
    for portfolio, out in ((False, True), (True, False)):
        margin = {**TENTH, "mode": "cross", "portfolio": portfolio}
        made = passed(scripted(rules(margin=margin), spots), -1.0)
        assert bool(made.episode.book.liquidated.any()) is out


def test_no_account_owes_more_than_its_collateral() -> None:
    """Over crashes of every size: liquidated hedgers lost at most what they posted; the others what they held."""
    for fall in (0.05, 0.08, 0.12, 0.3, 0.9):
        spots = [100.0, 100 * (1 - fall), *[100 * (1 - fall)] * 11]
        made = passed(scripted(rules(margin=TENTH), spots), 1.0)
        assert float(made.episode.book.cash + made.episode.book.units * spots[2]) >= -100 - 1e-9
        assert bool(made.episode.book.liquidated) is (fall > 0.0816)


def test_the_distance_to_liquidation_is_seen() -> None:
    """0 where equity meets maintenance, 1 when flat: y/(1 + y) with y = (100 − 20)/1000 for ten units at 100."""
    made = scripted(rules(margin=TENTH), CALM)
    column = made.observer.names.index("liquidation_distance")
    assert float(made.observation.features[0, 0, column]) == pytest.approx(1.0)
    passed(made, 1.0)
    y = 80 / 1000
    assert float(made.observation.features[0, 0, column]) == pytest.approx(2 * y / (1 + y) - 1, abs=1e-5)


def test_an_option_that_the_venue_shuts_out_brings_the_perpetual_nothing() -> None:
    """Its order is refused for good, so the perpetual hedges the claims' own delta and no phantom."""
    hedges = [{**free(), "instrument": {"kind": "option", "bars": 96}}, free()]
    margin = {"mode": "isolated", "collateral": [{"amount": 2.0}], "tiers": [{"rate": 0.02}]}
    made = world(912, 3, contract(hedges=hedges, margin=margin))
    out = torch.tensor([True, False]).expand(3, 1, 2)
    book = made.episode.book
    made.episode = type(made.episode)(**{**vars(made.episode), "book": type(book)(**{**vars(book), "liquidated": out})})
    neutral = -made.observation.scene.exposures[0].delta / made.episode.portfolio.base[0]
    made.advance(band(made, DeltaGamma()))
    held = made.episode.book.units[:, 0] / made.episode.portfolio.base[0][:, None]
    assert held[:, 0].tolist() == [0.0] * 3
    assert held[:, 1].tolist() == pytest.approx(neutral.tolist(), rel=1e-9)


# Auto-deleveraging.


def test_the_venue_closes_a_share_of_a_winning_position_at_the_mark() -> None:
    """A fifth of a short that gained 5 a unit, none of the same short that lost; the mark is 95 and then 105."""
    for end, left in ((95.0, -8.0), (105.0, -10.0)):
        spots = [100.0, 100.0, *[end] * 11]
        made = passed(scripted(rules(), spots, deleveraged=[0.0, 0.2, *[0.0] * 11]), -1.0)
        assert float(made.episode.book.units) == left
        assert float(made.episode.loss) == pytest.approx(0.0, abs=1e-12)  # long the spot: still even


def test_only_perpetuals_are_deleveraged() -> None:
    made = scripted(rules(hedges=[free(kind="future")]), [100.0, *[90.0] * 12], deleveraged=0.5)
    assert float(passed(made, -1.0).episode.book.units) == -10.0


# Orders that do not fill as sent.


def strained(congestion: float = 1.0 - 1e-9, **execution: Any) -> HedgingWorld:
    """Prices 100, 101, …; an execution that costs nothing but what is given."""
    hedge = {**free(), "execution": {**free()["execution"], **execution}}
    spots = [100.0 + bar for bar in range(13)]
    return scripted(rules(hedges=[hedge], closing="mark"), spots, congestion=congestion)


def test_rejected_orders_leave_the_book_as_it_is() -> None:
    made = passed(strained(rejection=1.0), 1.0)
    assert float(made.episode.book.units) == 0.0
    assert float(made.episode.book.trades) == 0.0
    assert float(passed(strained(0.0, rejection=1.0), 1.0).episode.book.units) == 10.0


@pytest.mark.parametrize("settings", [{"delay": 1.0}, {"latency_bars": 1}])
def test_late_orders_fill_a_bar_later_at_its_price(settings: dict[str, Any]) -> None:
    """Ten units at 101, worth 102 at the decision's end."""
    made = passed(strained(**settings), 1.0)
    assert float(made.episode.book.units) == 10.0
    assert float(made.episode.book.cash) == pytest.approx(-1010.0, rel=1e-12)


def test_late_orders_pay_funding_from_their_fill() -> None:
    hedge = {**free(), "execution": {**free()["execution"], "latency_bars": 1}}
    made = passed(scripted(rules(hedges=[hedge]), CALM, funding_rate=0.5), 1.0)
    assert float(made.episode.book.funding) == pytest.approx(1000 * 0.5 / 8760, rel=1e-12)


def test_orders_fill_as_far_as_the_depth_allows() -> None:
    """A hundredth of a depth of 30,000 at 100 is three units a decision."""
    hedge = {**free(), "execution": {**free()["execution"], "participation": 0.01}}
    made = scripted(rules(hedges=[hedge], closing="mark"), CALM, depth=30_000.0)
    for held in (3.0, 6.0, 9.0, 10.0):
        assert float(passed(made, 1.0).episode.book.units) == pytest.approx(held, rel=1e-12)


def test_what_the_depth_leaves_unsold_at_the_end_is_not_lost() -> None:
    """Bought in three-unit steps, and but three units can be sold when the book ends: the rest keeps its worth."""
    hedge = {**free(), "execution": {**free()["execution"], "participation": 0.01}}
    made = scripted(rules(hedges=[hedge]), CALM, depth=30_000.0)
    for _ in range(6):
        _, ended, loss = made.advance(at(made, 1.0))
    assert ended.all()
    assert float(loss) == pytest.approx(0.0, abs=1e-12)
    assert float(made.episode.book.units) == 0.0


def test_every_switch_at_once_conserves_and_stays_finite() -> None:
    execution = {
        "tiers": [{}, {"volume": 1e5, "maker": 1e-4, "taker": 3e-4}], "passive_share": 0.4, "gas": 2.0,
        "gas_stress": 3.0,
        "participation": 0.5, "rejection": 0.4, "delay": 0.4,
    }  # fmt: skip
    hedges = [
        {"instrument": {"kind": "option", "bars": 96}, "execution": execution},
        {"instrument": {"kind": "perpetual"}, "execution": execution},
    ]
    margin = {"mode": "cross", "portfolio": True, "collateral": [{"amount": 0.4}]}
    made = world(913, 200, contract(hedges=hedges, margin=margin), hedgers=2)
    total, loss = carried(made, DeltaGamma(), NoHedge())
    phi, dual = made.objective.transform, made.outlook.dual
    assert loss.isfinite().all()
    assert (total - (phi(torch.zeros_like(loss), dual) - phi(loss, dual)) / made.scale).abs().max() < 1e-9


def test_a_perpetual_that_the_venue_shuts_out_is_not_traded_for_an_option_that_is_not() -> None:
    """The other way about: what the option's order shifts stays as it is."""
    hedges = [{**free(), "instrument": {"kind": "option", "bars": 96}}, free()]
    made = world(914, 3, contract(hedges=hedges, margin={"mode": "isolated", "collateral": [{"amount": 2.0}]}))
    out = torch.tensor([False, True]).expand(3, 1, 2)
    book = made.episode.book
    made.episode = type(made.episode)(**{**vars(made.episode), "book": type(book)(**{**vars(book), "liquidated": out})})
    made.advance(band(made, DeltaGamma()))
    assert (made.episode.book.units[:, 0, 1] == 0).all()
    assert (made.episode.book.units[:, 0, 0] > 0).all()
