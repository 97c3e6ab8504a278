"""Observations are dimensionless, finite, public, the same alone as in a batch, and covered by their hash."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any, get_type_hints

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from envs import bands, decision, marks, observation, simulated
from envs.calibration import Calibration
from envs.contract import Contract
from envs.observation import Observation, Observer, Option
from envs.pricing import black_scholes
from envs.seeding import generators
from envs.types import Quote, taken
from envs.volatility.memory import Filter, Memory

PATHS = 133
ULPS = 16  # units in the last place that two batch sizes may differ by
CALIBRATION = Calibration.load(simulated.SHIPPED_CALIBRATION)
CONTRACT = Contract()
DTYPES = [torch.float32, torch.float64]


def built(
    dtype: torch.dtype = torch.float64, calibration: Calibration = CALIBRATION, contract: Contract = CONTRACT
) -> Observer:
    return simulated.observer(calibration, contract, dtype, torch.device("cpu"))


@pytest.fixture(scope="module")
def observer() -> Observer:
    return built()


def remembered(filter: Filter, returns: Tensor) -> Memory:
    memory = filter.initial(returns.shape[1])
    for row in returns:
        memory = filter.update(memory, row)
    return memory


def situation(observer: Observer, dtype: torch.dtype) -> tuple[Quote, Memory, Option, Tensor]:
    """PATHS markets after 100 bars of their own, some with crashes, and two books on each."""
    (generator,) = generators(401, 1)
    returns = 0.01 * torch.randn(100, PATHS, generator=generator, dtype=torch.float64)
    returns[-3, ::5] -= 0.12
    memory = remembered(observer.filter, returns.to(dtype))
    spot = (40_000 * (0.3 * torch.randn(PATHS, generator=generator, dtype=torch.float64)).exp()).to(dtype)
    funding = (0.5 * torch.randn(PATHS, generator=generator, dtype=torch.float64)).to(dtype)
    quote = marks.quote(CALIBRATION, observer.filter, memory, spot, spot * 1.0003, funding)
    bars = torch.randint(0, 721, (PATHS,), generator=generator)
    option = Option(torch.full_like(spot, 40_000.0), torch.full_like(spot, 25.0), bars)
    held = 25 * torch.rand(PATHS, 2, generator=generator, dtype=torch.float64).to(dtype)
    return quote, memory, option, held


def close(one: Tensor, other: Tensor) -> bool:
    unit = torch.finfo(one.dtype).eps * other.abs().clamp(min=1)
    return bool(((one - other).abs() <= ULPS * unit).all())


@pytest.mark.parametrize("dtype", DTYPES)
def test_features_are_finite_named_and_of_the_given_dtype(dtype: torch.dtype) -> None:
    observer = built(dtype)
    seen = observer.observe(*situation(observer, dtype))
    assert seen.features.shape == (PATHS, 2, len(observer.names))
    assert len(set(observer.names)) == len(observer.names)
    for field in fields(Observation):
        assert getattr(seen, field.name).isfinite().all(), field.name
        assert getattr(seen, field.name).dtype == dtype, field.name


@given(
    moneyness=st.floats(-3, 3), bars=st.integers(0, 720), volatility=st.floats(0.05, 5), held=st.floats(-5, 5),
    rate=st.floats(-5, 5), spread=st.floats(1e-7, 0.05), fall=st.floats(-1, 1),
)  # fmt: skip
def test_no_market_however_wild_makes_a_feature_large(
    observer: Observer, moneyness: float, bars: int, volatility: float, held: float,
    rate: float, spread: float, fall: float,
) -> None:  # fmt: skip
    values = (math.exp(moneyness), math.exp(moneyness), spread, 1e6, rate, volatility)
    quote = Quote(*(torch.tensor([value], dtype=torch.float64) for value in values))
    memory = remembered(observer.filter, torch.tensor([[fall], [-fall]], dtype=torch.float64))
    option = Option(quote.spot.new_ones(1), quote.spot.new_ones(1), torch.tensor([bars]))
    features = observer.observe(quote, memory, option, quote.spot.new_full((1, 1), held)).features
    assert features.isfinite().all()
    assert features.abs().max() < 30


def test_each_feature_rises_linearly_with_what_its_name_says(observer: Observer) -> None:
    """By the formulae of DESIGN §3, from the quote and the public memory; only offset and scale are free."""
    quote, memory, option, held = situation(observer, torch.float64)
    option = replace(option, bars_left=option.bars_left.clamp(min=1))
    seen = observer.observe(quote, memory, option, held)
    tau, implied = option.bars_left.double() / 8760, quote.implied_volatility
    forecast = observer.filter.term_variance(memory, option.bars_left).sqrt()
    delta = black_scholes.call_delta(quote.spot, option.strike, tau, implied)
    gamma = quote.spot * black_scholes.gamma(quote.spot, option.strike, tau, implied)
    arguments = (CONTRACT.fee_rate + quote.half_spread, gamma, CONTRACT.risk_aversion, tau, implied)
    width = bands.zakamouline_half_width(*arguments).clamp(max=1)
    centre = black_scholes.call_delta(quote.spot, option.strike, tau, bands.zakamouline_volatility(*arguments))
    half_stress = CALIBRATION.liquidity.half_stress_rate
    named = {
        "log_moneyness": (quote.spot / option.strike).log() / (implied * tau.sqrt()),
        "root_time": tau.sqrt(),
        "delta": delta,
        "half_width": width.log(),
        "forecast_over_implied": (forecast / implied).log(),
        "spot_over_implied": ((memory.probability * memory.variance).sum(-1).sqrt() / implied).log(),
        "implied_over_reference": (implied / CALIBRATION.reference_volatility).log(),
        "regime_1": memory.probability[:, 1],
        "stress": memory.excitement / (memory.excitement + half_stress),
        "funding": quote.funding_rate * tau.sqrt() / implied,
    }
    features = dict(zip(observer.names, seen.features.unbind(-1), strict=True))
    own = features.pop("hedge_less_centre")
    assert set(features) == set(named)
    for name, feature in features.items():
        assert linear(feature[:, 0], named[name]), name
        assert torch.equal(feature[:, 0], feature[:, 1]), name
    for book in range(2):
        assert linear(own[:, book], (held[:, book] / 25 - centre) / width)
    for found, expected in ((seen.delta, delta), (seen.band_delta, centre), (seen.half_width, width)):
        assert (found - expected).abs().max() < 1e-6
    assert torch.equal(seen.hedge, held / 25)


def linear(feature: Tensor, quantity: Tensor) -> bool:
    """Whether `feature`, where not clamped, is an increasing linear function of a `quantity` that varies."""
    inside = feature.abs() < observation.WIDEST
    x, y = quantity[inside], feature[inside]
    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    left = (y - y.mean()) - slope * (x - x.mean())
    return bool(len(x) > PATHS / 4 and slope > 0 and x.std() > 1e-4 and left.abs().max() < 1e-5 * y.std().clamp(min=1))


@pytest.mark.parametrize("factor", [1e-4, 7.3, 1e5])
def test_another_currency_leaves_every_feature_as_it_is(observer: Observer, factor: float) -> None:
    quote, memory, option, held = situation(observer, torch.float64)
    dearer = replace(quote, spot=quote.spot * factor, mark=quote.mark * factor, depth=quote.depth * factor)
    one = observer.observe(quote, memory, option, held)
    other = observer.observe(dearer, memory, replace(option, strike=option.strike * factor), held)
    assert (one.features - other.features).abs().max() < 1e-10
    assert (one.band_delta - other.band_delta).abs().max() < 1e-12


def test_another_size_of_the_same_book_leaves_every_feature_as_it_is(observer: Observer) -> None:
    quote, memory, option, held = situation(observer, torch.float64)
    one = observer.observe(quote, memory, option, held)
    other = observer.observe(quote, memory, replace(option, units=option.units * 40), held * 40)
    assert (one.features - other.features).abs().max() < 1e-10


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_market_alone_sees_what_it_saw_in_the_batch(dtype: torch.dtype) -> None:
    """And sends the same lot-rounded orders, for the tuned band and for a shifted and narrowed one."""
    observer = built(dtype)
    whole = situation(observer, dtype)
    quote, memory, option, held = whole
    batch = observer.observe(*whole)
    action = torch.tensor([[0.3, -0.2], [0.0, 0.0]], dtype=dtype)
    orders = sent(batch, action.expand(PATHS, 2, 2), option)
    for path in range(0, PATHS, 11):
        row = slice(path, path + 1)
        for book in range(2):
            own = slice(book, book + 1)
            alone = observer.observe(taken(quote, row), taken(memory, row), taken(option, row), held[row, own])
            assert close(alone.features, batch.features[row, own])
            assert sent(alone, action[None, own], taken(option, row)).tolist() == orders[row, own].tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_memory_alone_is_that_of_the_batch(dtype: torch.dtype) -> None:
    """Through 100 bars of the filter."""
    observer = built(dtype)
    (generator,) = generators(402, 1)
    returns = 0.01 * torch.randn(100, PATHS, generator=generator, dtype=torch.float64).to(dtype)
    batch = remembered(observer.filter, returns)
    for path in range(0, PATHS, 33):
        alone = remembered(observer.filter, returns[:, path : path + 1])
        for field in fields(Memory):
            one, other = getattr(alone, field.name)[0], getattr(batch, field.name)[path]
            assert one.tolist() == pytest.approx(other.tolist(), rel=100 * torch.finfo(dtype).eps), field.name


def sent(seen: Observation, action: Tensor, option: Option) -> Tensor:
    band = decision.read(action, seen)
    return decision.order(band, seen.hedge, option.units, CONTRACT.lot_fraction * option.units)


def test_of_is_what_one_hedger_sees(observer: Observer) -> None:
    seen = observer.observe(*situation(observer, torch.float64))
    own = seen.of(1)
    assert torch.equal(own.features, seen.features[:, 1:])
    assert torch.equal(own.hedge, seen.hedge[:, 1:])
    assert torch.equal(own.delta, seen.delta)


def test_expiry_itself_can_be_observed(observer: Observer) -> None:
    """The last observation of an episode, in and out of the money and at it."""
    quote, memory, option, held = situation(observer, torch.float64)
    three = taken(quote, slice(0, 3))
    strike = three.spot * torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    expired = Option(strike, option.units[:3], torch.zeros(3, dtype=torch.int64))
    seen = observer.observe(three, taken(memory, slice(0, 3)), expired, held[:3])
    assert seen.features.isfinite().all()
    assert seen.delta.tolist() == [1.0, 0.5, 0.0]
    assert seen.dollar_gamma.tolist() == [0.0, 0.0, 0.0]
    assert seen.time_to_expiry.tolist() == pytest.approx([1 / 8760] * 3, rel=1e-12)


def leaves(tree: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in tree.items():
        yield from leaves(value, (*path, name)) if isinstance(value, dict) else [(*path, name)]


def changed(tree: Any, path: tuple[str, ...]) -> Any:
    """`tree` with the number at `path`, or the first of its numbers, a thousandth larger (an integer doubled)."""
    if path:
        return {**tree, path[0]: changed(tree[path[0]], path[1:])}
    if isinstance(tree, int):
        return tree * 2
    if isinstance(tree, float):
        return tree * 1.001 if tree else 0.001
    return [changed(tree[0], ()), *tree[1:]]


PARAMETERS = [
    path
    for path in leaves(CALIBRATION.model_dump(mode="json"))
    if path[0] != "source" and path != ("regimes", "transition")
]


@pytest.mark.parametrize("path", PARAMETERS, ids=".".join)
def test_hash_covers_the_calibrations(observer: Observer, path: tuple[str, ...]) -> None:
    other = Calibration.model_validate(changed(CALIBRATION.model_dump(mode="json"), path))
    assert Observer(other, CONTRACT, observer.filter).sha256 != observer.sha256


def test_hash_covers_the_transition(observer: Observer) -> None:
    raw = CALIBRATION.model_dump(mode="json")
    raw["regimes"]["transition"][0] = [0.5, 0.5]
    assert Observer(Calibration.model_validate(raw), CONTRACT, observer.filter).sha256 != observer.sha256


@pytest.mark.parametrize("name", [name for name in Contract.model_fields if name != "bar_hours"])
def test_hash_covers_the_contract(observer: Observer, name: str) -> None:
    other = Contract.model_validate(changed(CONTRACT.model_dump(mode="json"), (name,)))
    assert Observer(CALIBRATION, other, observer.filter).sha256 != observer.sha256


def test_hash_covers_names_and_their_order(observer: Observer) -> None:
    other = built()
    other.names = other.names[1:] + other.names[:1]
    assert other.sha256 != observer.sha256


def test_hash_stands_still_where_nothing_enters_a_feature(observer: Observer) -> None:
    """Where the numbers came from, the dtype, the filter's object, and another run are no parameters."""
    relabelled = CALIBRATION.model_copy(
        update={"source": CALIBRATION.source.model_copy(update={"asset": "x", "bars": 1, "sha256": "0"})}
    )
    assert built(torch.float32).sha256 == observer.sha256
    assert Observer(relabelled, Contract(), observer.filter).sha256 == observer.sha256
    assert len(observer.sha256) == 64


def test_hash_covers_the_length_of_the_bars(observer: Observer) -> None:
    """Twice the bar doubles every standardised return's clock, so features of the same quotes differ."""
    source = CALIBRATION.source.model_copy(update={"bar_hours": 2.0})
    contract = CONTRACT.model_copy(update={"bar_hours": 2.0})
    other = built(calibration=CALIBRATION.model_copy(update={"source": source}), contract=contract)
    quote, _, option, held = situation(observer, torch.float64)
    returns = torch.full((20, PATHS), 0.01, dtype=torch.float64)
    one = observer.observe(quote, remembered(observer.filter, returns), option, held)
    two = other.observe(quote, remembered(other.filter, returns), option, held)
    assert not torch.equal(one.features, two.features)
    assert other.sha256 != observer.sha256


def test_an_observation_can_be_made_of_nothing_but_what_anyone_sees() -> None:
    """No parameter could carry a simulator's hidden state."""
    assert get_type_hints(Observer.observe) == {
        "quote": Quote,
        "memory": Memory,
        "option": Option,
        "units": Tensor,
        "return": Observation,
    }
    hints = get_type_hints(Observer.__init__)
    assert hints == {"calibration": Calibration, "contract": Contract, "filter": Filter, "return": type(None)}
