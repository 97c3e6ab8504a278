"""Hedging options listed anew: what is kept of earlier listings, and that the loss is a plain account of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from agents.classical.delta_gamma import DeltaGamma
from agents.classical.greek_band import GreekBand
from envs import decision, rewards
from envs.contract import Contract
from envs.decision import Band
from envs.hedging import HedgingWorld
from envs.pricing import black_scholes
from tests.envs.worlds import F64, at, band, carried, contract, free, standard_error, tensor, world

COST, STEP = 0.01, 8
LISTED = {
    "instrument": {"kind": "option", "bars": 48},
    "lot_fraction": 0.0,
    "roll_bars": 8,
    "execution": {"tiers": [{"maker": COST, "taker": COST}], "impact": 0.0},
}


def rules(claims: list[dict[str, Any]] | None = None, **listed: Any) -> Contract:
    """Six decisions of eight bars; a call that outlives the book is sold, an option listed at every decision."""
    sold = [{"instrument": {"bars": 96}, "arrivals": {"rate": 0.1}}] if claims is None else claims
    return contract(claims=sold, hedges=[{**LISTED, **listed}, free()], closing="mark", greek_band=0.4)


def price(spot: Tensor, strike: Tensor, bars: Tensor) -> Tensor:
    return black_scholes.price(spot, strike, bars.clamp(min=0).double() / 8760, tensor(0.8))


def black_delta(spot: Tensor, strike: Tensor, bars: Tensor) -> Tensor:
    return black_scholes.delta(spot, strike, bars.double() / 8760, tensor(0.8))


def test_what_was_bought_stays_in_its_place_and_a_fresh_option_is_offered() -> None:
    hedging = world(1, 3, rules(), hedgers=2)
    bought, strikes = [], []
    for made in range(4):
        base, spot = hedging.episode.portfolio.base[0], hedging.episode.quotes[0].spot
        assert torch.equal(hedging.episode.terms[0].strike[:, 0], spot)
        assert (hedging.episode.terms[0].bars_left == 48).all()
        strikes.append(spot)
        bought.append(0.1 * (made + 1) * base)
        hedging.advance(at(hedging, 0.1 * (made + 1), 0.0))
        assert (hedging.episode.book.units[..., 0] == 0).all()
    (kept,) = hedging.episode.kept
    for made in range(4):
        place = 5 - made  # counted from the book's end
        torch.testing.assert_close(kept.units[:, 0, place], bought[made], rtol=1e-12, atol=0)
        assert torch.equal(kept.terms.strike[:, place], strikes[made])
        assert (kept.terms.bars_left[:, place] == 48 - 8 * (4 - made)).all()
    assert (kept.units[:, :, :2] == 0).all()


def test_an_option_on_offer_for_two_decisions_is_traded_at_both() -> None:
    hedging = world(2, 3, rules(roll_bars=16))
    base, strike = hedging.episode.portfolio.base[0], hedging.episode.terms[0].strike
    hedging.advance(at(hedging, 0.5, 0.0))
    assert torch.equal(hedging.episode.terms[0].strike, strike)
    torch.testing.assert_close(hedging.episode.book.units[:, 0, 0], 0.5 * base)
    hedging.advance(at(hedging, 0.2, 0.0))
    (kept,) = hedging.episode.kept
    torch.testing.assert_close(kept.units.sum(-1)[:, 0], 0.2 * base)
    assert kept.units.shape[-1] == 3
    assert not torch.equal(hedging.episode.terms[0].strike, strike)


class Account:
    """Plain books of one hedger a path: changes of value of all that is held, less the cost of trades, delta in stock.

    No code of the world but its market, its claims' terms and the trades it is told.
    """

    def __init__(self, hedging: HedgingWorld) -> None:
        self.hedging, self.owned, self.number = hedging, [], 0
        self.gain = torch.zeros(hedging.paths, dtype=F64)

    owned: list[tuple[Tensor, Tensor, Tensor]]  # units, strike, bars left

    def decided(self, share: float, life: int) -> Tensor:
        """Live through a decision that buys `share` of the base units; the loss (P,) that the world says."""
        now = self.hedging.episode
        spot, base, bars = now.quotes[0].spot, now.portfolio.base[0], torch.full_like(now.bars_left, life)
        claims = [column.unbind(-1) for column in (now.portfolio.units[0], *vars(now.portfolio.terms[0]).values())]
        held = [(u, strike, left) for u, left, strike in zip(*claims, strict=True)] + self.owned
        alone = sum(u * black_delta(spot, k, left) for u, k, left in held)
        edge = torch.stack([torch.full_like(spot, share), -alone / base], -1)[:, None]
        _, _, loss = self.hedging.advance(Band(edge, edge))
        self.gain -= COST * (share * base).abs() * price(spot, spot, bars)
        self.owned.append((share * base, spot, bars))
        held.append(self.owned[-1])
        after = self.hedging.episode.quotes[0].spot
        self.gain -= (alone + share * base * black_delta(spot, spot, bars)) * (after - spot)
        for units, strike, left in held:
            self.gain += units * (price(after, strike, left - STEP) - price(spot, strike, left)) * (left > 0)
        aged = [(u, strike, left - STEP) for u, strike, left in self.owned]
        self.owned = [row for row in aged if (row[2] > 0).all()]
        return loss[:, 0]


@pytest.mark.parametrize("life", [48, 16, 8])
def test_the_loss_is_what_a_plain_account_says(life: int) -> None:
    """For listings that outlive the book, that expire within it, and that expire when the next one is listed."""
    hedging = world(3, 5, rules(instrument={"kind": "option", "bars": life}))
    account = Account(hedging)
    for number in range(6):
        loss = account.decided((0.3, -0.2, 0.0, 0.5, -0.4, 0.1)[number], life)
    torch.testing.assert_close(loss, -account.gain / hedging.contract.notional, rtol=0, atol=1e-12)
    assert hedging.episode.kept[0].units.abs().sum() == 0
    assert float(loss.std()) > 1e-3


def test_hedgers_of_one_path_keep_their_own() -> None:
    agents = (DeltaGamma(), GreekBand(0.5), GreekBand(2.0))
    _, together = carried(world(4, 5, rules(), hedgers=3), *agents)
    for place, agent in enumerate(agents):
        _, alone = carried(world(4, 5, rules()), agent)
        torch.testing.assert_close(together[:, place], alone[:, 0], rtol=0, atol=1e-12)
    assert not torch.equal(together[:, 0], together[:, 1])


def test_delta_gamma_leaves_neither_at_any_decision() -> None:
    hedging = world(5, 30, rules())
    for number in range(6):
        seen, now = hedging.observation.scene, hedging.episode
        order = decision.orders(band(hedging, DeltaGamma()), seen, hedging.lots())
        held = now.book.units + order
        gamma = seen.own(0, "gamma") + held[..., 0] * seen.traded.gamma[:, :1]
        assert gamma.abs().max() < 1e-9 * seen.own(0, "gamma").abs().max().clamp(min=1)
        assert rewards.net_deltas(seen, held)[0].abs().max() < 1e-7
        if number > 2:
            assert seen.kept[0] is not None
            assert (seen.kept[0].gamma != 0).any()
        hedging.advance(band(hedging, DeltaGamma()))


def test_the_greek_band_leaves_no_more_than_its_width() -> None:
    hedging = world(6, 200, rules())
    for _ in range(6):
        seen = hedging.observation.scene
        order = decision.orders(band(hedging, GreekBand(0.7)), seen, hedging.lots())
        spot, base = seen.views[0].quote.spot[:, None], seen.book.base[0][:, None]
        after = spot * (seen.own(0, "gamma") + order[..., 0] * seen.traded.gamma[:, :1]) / base
        wide = (spot * seen.own(0, "gamma") / base).abs() > 0.7
        assert (order[..., 0] != 0).equal(wide)
        torch.testing.assert_close(after[wide].abs(), torch.full_like(after[wide], 0.7))
        hedging.advance(band(hedging, GreekBand(0.7)))


def test_bands_that_trade_towards_neutral_never_pass_it() -> None:
    """Whatever the raw action; and a wide band may still trade nothing."""
    hedging, generator = world(7, 300, rules(towards_neutral=True), hedgers=2), torch.Generator().manual_seed(1)
    for _ in range(6):
        raw = 2 * torch.rand(300, 2, 4, generator=generator, dtype=F64) - 1
        neutral = hedging.observation.neutral[..., 0]
        read = decision.read(raw, hedging.observation)
        trade = decision.orders(read, hedging.observation.scene, hedging.lots())[..., 0]
        share = trade / hedging.episode.portfolio.base[0][:, None] / neutral
        assert ((share >= 0) & (share <= 1 + 1e-12)).all()
        assert (share == 0).any()
        assert (share > 0.99).any()
        hedging.advance(read)


def test_a_path_that_begins_anew_keeps_nothing() -> None:
    hedging = world(8, 4, rules())
    for number in range(6):
        hedging.step(torch.zeros(4, 4, dtype=F64))
        assert (float(hedging.episode.kept[0].units.abs().sum()) > 0) == (number < 5)
    assert (hedging.episode.bars_left == 48).all()


def test_kept_options_are_features_of_each_hedger() -> None:
    hedging = world(9, 6, rules(), hedgers=2)
    hedging.advance(band(hedging, DeltaGamma(), GreekBand(1e3)))
    places = [hedging.observer.names.index(f"kept_{name}_0") for name in ("gamma", "vega")]
    seen = hedging.observation
    assert (seen.features[:, 0, places] > 0).all()
    assert (seen.features[:, 1, places] == 0).all()
    for hedger in range(2):
        assert torch.equal(seen.of(hedger).features, seen.features[:, hedger : hedger + 1])
        assert torch.equal(seen.of(hedger).limit, seen.limit[:, hedger : hedger + 1])
        assert torch.equal(seen.of(hedger).scene.own(0, "delta")[:, 0], seen.scene.own(0, "delta")[:, hedger])
    assert len(hedging.observer.names) == seen.features.shape[-1]


def test_controlled_rewards_sum_to_the_plain_ones_in_the_mean() -> None:
    """Less a constant: what is promised at the start; they vary far less."""
    plain, controlled = (world(10, 1000, rules(), controlled=flag) for flag in (False, True))
    start = rewards.promise(controlled.outlook, controlled.episode.loss, controlled.observation.scene, controlled.scale)
    phi, dual = controlled.objective.transform, controlled.outlook.dual
    due = phi(torch.zeros_like(start.mean), dual) - controlled.objective.prospect(*start, dual)
    one, other = carried(plain, GreekBand(0.7))[0], carried(controlled, GreekBand(0.7))[0]
    assert float(plain.outlook.dual) == float(dual)
    difference = one - (other + due / controlled.scale)
    assert difference.mean().abs() < 4.5 * standard_error(difference)
    assert float((other + due / controlled.scale).std()) < 2 * float(one.std())
