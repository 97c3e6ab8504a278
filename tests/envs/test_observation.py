"""Observations are dimensionless, finite, public, the same alone as in a batch, and covered by their hash."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any, get_type_hints

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agents.classical.zakamouline import Zakamouline
from envs import decision, observation
from envs.calibration import Calibration
from envs.contract import Contract
from envs.hedging import HedgingWorld
from envs.observation import Observation, Observer
from envs.pricing import black_scholes
from envs.scene import REFERENCE_LIFE, Scene
from envs.surface import Surface
from envs.task import Task
from envs.types import BadInput, Quote
from envs.volatility.memory import Filter, Memory
from tests.envs.lives import BOOK, CALIBRATION, KINDS, PAIR, lived, observed
from tests.envs.worlds import BTC, F64, band, contract, world

pytestmark = pytest.mark.usefixtures("small_market")
ULPS = 64  # units in the last place that two batch sizes may differ by


@pytest.fixture(scope="module", params=list(KINDS))
def made(request: pytest.FixtureRequest, small_market: None) -> HedgingWorld:
    return lived(request.param)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("kind", list(KINDS))
def test_features_are_finite_named_and_of_the_given_dtype(kind: str, dtype: torch.dtype) -> None:
    made = lived(kind, dtype)
    seen, names = made.observation, made.observer.names
    assert seen.features.shape == (40, 2, len(names))
    assert len(set(names)) == len(names)
    for field in fields(Observation):
        value = getattr(seen, field.name)
        if isinstance(value, Tensor):
            assert value.isfinite().all(), field.name
            assert value.dtype == dtype, field.name
    assert (seen.features.flatten(0, 1).std(0) > 0).sum() > len(names) * 2 / 3  # the rest is alike on all paths


def test_names_say_what_stands_in_the_columns(made: HedgingWorld) -> None:
    """Each feature from its formula, by its name; nothing is left over."""
    seen, now, many = made.observation, made.observation.scene, len(made.observer.calibrations) > 1
    expected: dict[str, Tensor] = {}
    for a, view in enumerate(now.views):
        own = named(made, a)
        expected |= {f"{name}_{a}" if many else name: value for name, value in own.items()}
        assert view.quote is made.episode.quotes[a]
    more = len(made.contract.hedges) > 1
    for k in range(len(made.contract.hedges)):
        suffix = f"_{k}" if more else ""
        place = ((seen.hedge - seen.centre) / seen.half_width / 2).clamp(-4, 4)[..., k]
        expected["hedge_less_centre" + suffix] = place
        expected["half_width" + suffix] = (seen.half_width.log() + 3).expand_as(seen.hedge)[..., k]
    if made.contract.margin.mode != "none":
        cushion = made.custodian.cushion(made.episode.book, made.episode.portfolio, now.traded, now.views)
        assert cushion is not None
        expected["liquidation_distance"] = 2 * cushion - 1
    assert set(expected) == set(made.observer.names)
    for name, column in zip(made.observer.names, seen.features.unbind(-1), strict=True):
        value = expected[name] if expected[name].dim() == 2 else expected[name][:, None]
        assert (column - value).abs().max() < 1e-9, name


def named(made: HedgingWorld, asset: int) -> dict[str, Tensor]:
    """One asset's shared features, from exposures and quotes."""
    now = made.observation.scene
    view, exposure, base = now.views[asset], now.exposures[asset], now.book.base[asset]
    quote, spot, implied = view.quote, view.quote.spot, view.quote.implied_volatility
    soon, last = (bars.clamp(min=1).to(F64) / 8760 for bars in (exposure.next_bars, exposure.last_bars))
    filter, step = made.observer.filters[asset], implied * soon.sqrt()
    down, up = (moved_delta(made, asset, spot * factor) / base for factor in (torch.exp(-step), torch.exp(step)))
    forecast = filter.term_variance(view.memory, exposure.last_bars.clamp(min=1)).sqrt()
    spot_volatility = (view.memory.probability * view.memory.variance).sum(-1).sqrt()
    return {
        "delta": 2 * exposure.delta / base, "delta_down": 2 * down, "delta_up": 2 * up,
        "gamma": 2 * spot * exposure.gamma * step / base,
        "vega": 2 * exposure.vega / (spot * math.sqrt(REFERENCE_LIFE) * base),
        "next_expiry": (soon / REFERENCE_LIFE).sqrt(), "last_expiry": (last / REFERENCE_LIFE).sqrt(),
        "forecast_over_implied": 2 * torch.log(forecast / implied),
        "spot_over_implied": torch.log(spot_volatility / implied),
        "implied_over_reference": 4 * torch.log(implied / made.observer.calibrations[asset].reference_volatility),
        "stress": 2 * quote.congestion - 1,
        "funding": (4 * quote.funding_rate * last.sqrt() / implied).clamp(-4, 4),
        **{f"regime_{k}": 2 * p - 1 for k, p in enumerate(view.memory.probability.unbind(-1)) if k},
    }  # fmt: skip


def moved_delta(made: HedgingWorld, asset: int, spot: Tensor) -> Tensor:
    """Of claims and coins at another spot, each option at the volatility that it has now."""
    now, total = made.observation.scene, made.observation.scene.book.coins[asset]
    for claim, units, terms in zip(made.contract.claims, now.book.units, now.book.terms, strict=True):
        if claim.instrument.asset == asset:
            view = now.views[asset]
            volatility = view.surface.volatility(view.quote, view.memory, terms.strike, terms.bars_left)
            at = (spot[:, None], terms.strike, terms.bars_left.to(F64) / 8760, volatility)
            total = total + (units * black_scholes.delta(*at, call=claim.instrument.right == "call")).sum(-1)
    return total


def test_analytics_are_those_of_the_scene(made: HedgingWorld) -> None:
    seen, now = made.observation, made.observation.scene
    assert torch.equal(seen.neutral, now.neutral([each.delta for each in now.exposures]))
    classical = now.neutral(now.stretched_deltas(made.contract.risk_aversion))
    assert torch.equal(seen.centre, classical.maximum(-seen.limit).minimum(seen.limit))
    assert torch.equal(seen.hedge, now.hedge)
    assert (seen.half_width >= observation.LEAST_WIDTH).all()
    for k, asset in enumerate(now.assets):
        assert seen.implied_volatility[:, 0, k].tolist() == now.views[asset].quote.implied_volatility.tolist()
        assert seen.time_to_expiry[:, 0, k].tolist() == now.times[asset].tolist()


@settings(max_examples=15)
@given(factor=st.floats(1e-6, 1e6))
def test_another_currency_leaves_every_feature_as_it_is(made: HedgingWorld, factor: float) -> None:
    """All that is money times `factor`, strikes and the notional included."""
    now = made.episode
    money = ("spot", "low", "high", "mark", "depth")
    quotes = tuple(replace(q, **{n: getattr(q, n) * factor for n in money}) for q in now.quotes)
    rescaled = made.contract.model_copy(update={"notional": made.contract.notional * factor})
    other = HedgingWorld(made.market, rescaled, made.objective, made.paths, 2, made.generator)
    other.episode = now
    dearer = {n: getattr(now.book, n) * factor for n in ("claims", "cash", "fees", "slippage", "funding", "traded")}
    changed = observed(
        other,
        quotes=quotes,
        portfolio=replace(now.portfolio, terms=tuple(struck(t, factor) for t in now.portfolio.terms)),
        terms=tuple(struck(t, factor) for t in now.terms),
        book=replace(now.book, **dearer),
    )
    assert (changed.features - made.observation.features).abs().max() < 1e-7


def struck(terms: Any, factor: float) -> Any:
    return replace(terms, strike=terms.strike * factor) if hasattr(terms, "strike") else terms


@settings(max_examples=15)
@given(factor=st.floats(1e-3, 1e3))
def test_another_size_of_the_same_book_leaves_every_feature_as_it_is(made: HedgingWorld, factor: float) -> None:
    now = made.episode
    rescaled = made.contract.model_copy(update={"notional": made.contract.notional * factor})
    other = HedgingWorld(made.market, rescaled, made.objective, made.paths, 2, made.generator)
    other.episode = now
    larger = {n: tuple(v * factor for v in getattr(now.portfolio, n)) for n in ("base", "units", "coins")}
    bigger = {n: v * factor for n, v in vars(now.book).items() if n not in ("trades", "liquidated")}
    changed = observed(other, portfolio=replace(now.portfolio, **larger), book=replace(now.book, **bigger))
    assert (changed.features - made.observation.features).abs().max() < 1e-7


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_market_alone_sees_what_it_saw_in_the_batch(kind: str, dtype: torch.dtype) -> None:
    """And sends the same lot-rounded orders, for the tuned band and for a shifted and narrowed one."""
    made = lived(kind, dtype)
    whole, unit = made.observation, torch.finfo(dtype).eps
    action = torch.tensor([0.3, -0.2] * len(made.contract.hedges), dtype=dtype)
    lots = 1e-2 * made.observation.scene.columns(made.episode.portfolio.base)
    orders = decision.orders(decision.read(action.expand(40, 2, -1), whole), whole.scene, lots)
    for path in range(0, 40, 7):
        row = slice(path, path + 1)
        for hedger in (0, 1):
            own = slice(hedger, hedger + 1)
            alone = observed(made, row, own)
            near = ULPS * unit * whole.features[row, own].abs().clamp(min=1)
            if dtype == F64:
                assert ((alone.features - whole.features[row, own]).abs() <= near).all()
            else:  # where a band is narrow its place magnifies a rounding of the hedge
                assert (alone.features - whole.features[row, own]).abs().max() < 2e-3
            found = decision.orders(decision.read(action.expand(1, 1, -1), alone), alone.scene, lots[row])
            assert (found / lots[row]).round().tolist() == (orders[row, own] / lots[row]).round().tolist()


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_memory_alone_is_that_of_the_batch(dtype: torch.dtype) -> None:
    """Through 100 bars of the filter."""
    filter = Filter(CALIBRATION, dtype, torch.device("cpu"), 720)
    returns = 0.01 * torch.randn(100, 33, generator=torch.Generator().manual_seed(602), dtype=F64).to(dtype)
    batch = filter.initial(33)
    for row in returns:
        batch = filter.update(batch, row)
    for path in range(0, 33, 8):
        alone = filter.initial(1)
        for row in returns:
            alone = filter.update(alone, row[path : path + 1])
        for field in fields(Memory):
            one, other = getattr(alone, field.name)[0], getattr(batch, field.name)[path]
            assert one.tolist() == pytest.approx(other.tolist(), rel=200 * torch.finfo(dtype).eps), field.name


def test_of_is_what_one_hedger_sees(made: HedgingWorld) -> None:
    whole = made.observation
    for hedger in (0, 1):
        alone = observed(made, own=slice(hedger, hedger + 1))
        found = whole.of(hedger)
        for name in ("features", "hedge", "neutral", "centre", "half_width", "limit"):
            value, expected = getattr(found, name), getattr(alone, name)
            assert (value - expected).abs().max() < 1e-12, name
        assert torch.equal(found.scene.hedge, whole.hedge[:, hedger : hedger + 1])


@settings(max_examples=60)
@given(
    moneyness=st.floats(-5, 5), bars=st.integers(0, 240), volatility=st.floats(1e-3, 20), held=st.floats(-5, 5),
    rate=st.floats(-50, 50), spread=st.floats(1e-7, 0.05), congestion=st.floats(0, 0.999), settled=st.booleans(),
)  # fmt: skip
def test_no_market_however_wild_makes_a_feature_large(
    extreme: HedgingWorld, moneyness: float, bars: int, volatility: float, held: float,
    rate: float, spread: float, congestion: float, settled: bool,
) -> None:  # fmt: skip
    """Expiry, deep wings, tiny and huge volatility, hedges of any size, and all claims settled."""
    now = extreme.episode
    spot = now.quotes[0].spot * math.exp(moneyness)
    wild = {"spot": spot, "low": spot, "high": spot, "mark": spot, "implied_volatility": 0 * spot + volatility}
    strained = {"funding_rate": 0 * spot + rate, "half_spread": 0 * spot + spread, "congestion": 0 * spot + congestion}
    left = torch.full_like(now.portfolio.terms[0].bars_left, bars)
    units = tuple(0 * u if settled else u for u in now.portfolio.units)
    seen = observed(
        extreme,
        quotes=(replace(now.quotes[0], **wild, **strained),),
        portfolio=replace(
            now.portfolio, units=units, terms=tuple(replace(t, bars_left=left[:, :1]) for t in now.portfolio.terms)
        ),
        book=replace(now.book, units=now.book.units * 0 + held * now.portfolio.base[0][:, None, None]),
    )
    for field in fields(Observation):
        if isinstance(value := getattr(seen, field.name), Tensor):
            assert value.isfinite().all(), field.name
    assert seen.features.abs().max() < 50


@pytest.fixture(scope="module")
def extreme() -> HedgingWorld:
    return world(603, 2, BOOK, market={"kind": "gbm", "settings": {"volatility": [0.8]}})


def test_the_features_of_an_ended_episode_are_finite() -> None:
    """The last observation, when nothing is left to run."""
    ended = lived("book")
    while bool((ended.episode.bars_left > 0).all()):
        ended.advance(band(ended, Zakamouline(5.0), Zakamouline(20.0)))
    assert ended.features().isfinite().all()
    assert (ended.observation.scene.exposures[0].last_bars == 0).all()


# What it is made of.


def test_an_observation_can_be_made_of_nothing_but_what_anyone_sees() -> None:
    """No parameter could carry a simulator's hidden state."""
    assert get_type_hints(Observer.observe) == {
        "scene": Scene, "cushion": Tensor | None, "worth": Tensor | None, "loss": Tensor | None, "return": Observation,
    }  # fmt: skip
    views = get_type_hints(Observer.views)
    assert (str(views["quotes"]), str(views["memories"])) == (
        f"collections.abc.Sequence[{Quote.__module__}.Quote]", f"collections.abc.Sequence[{Memory.__module__}.Memory]",
    )  # fmt: skip
    hints = get_type_hints(Observer.__init__)
    assert hints["contract"] is Contract
    assert [str(hints[n]).split(".")[-1].rstrip("]") for n in ("calibrations", "filters", "surfaces")] == [
        Calibration.__name__, Filter.__name__, Surface.__name__,
    ]  # fmt: skip


def test_a_contract_on_other_bars_than_the_markets_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^contract\.bar_hours is 4, [^\n]*bars of 1 h; set both alike$"):
        world(1, 1, contract(bar_hours=4.0), market=BTC)


def test_a_contract_on_more_assets_than_the_market_has_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^the contract names 2 assets, the market has 1[^\n]*$"):
        world(1, 1, PAIR, market=BTC)


def test_a_tasks_observer_is_that_of_its_world() -> None:
    task = Task.load("short_call")
    assert task.observer().sha256 == task.world(1, 1, torch.Generator()).observer.sha256
