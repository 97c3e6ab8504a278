"""What a person may write wrongly: one line that has the value, the place, and how to mend it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from envs import history
from envs.calibration import validated
from envs.contract import Contract
from envs.gym import HedgingVectorEnv
from envs.hedging import HedgingWorld
from envs.markets.gbm import GbmMarket
from envs.objectives.mean_shortfall import MeanShortfall
from envs.task import Task
from envs.types import BadInput
from tests.envs.worlds import contract, task, world

OPTION = {"kind": "option"}


def claims(**terms: Any) -> dict[str, Any]:
    return {"claims": [{"instrument": {**OPTION, **terms}}]}


def listed(roll_bars: int = 48, bars: int = 720) -> dict[str, Any]:
    """A hedging option that is listed anew."""
    return {"instrument": {**OPTION, "bars": bars}, "roll_bars": roll_bars}


@pytest.mark.parametrize(
    ("raw", "place", "words"),
    [
        (claims(moneyness=-1.0), "claims.0.instrument", "greater than or equal to 0.001"),
        (claims(moneyness=0.0), "claims.0.instrument", "greater than or equal to 0.001"),
        (claims(moneyness=float("nan")), "claims.0.instrument", "not nan"),
        (claims(moneyness=float("inf")), "claims.0.instrument", "less than or equal to 1000"),
        (claims(bars=0), "claims.0.instrument", "greater than 0"),
        (claims(bars=-24), "claims.0.instrument", "greater than 0"),
        (claims(bars=24.5), "claims.0.instrument", "integer"),
        (claims(moneyness=[1.2, 0.8]), "claims.0.instrument", "moneyness runs from 1.2 down to 0.8; give the smaller"),
        (claims(bars=[300, 100]), "claims.0.instrument", "bars runs from 300 down to 100; give the smaller"),
        (claims(right="straddle"), "claims.0.instrument", "'call' or 'put'"),
        (claims(kind="swap"), "claims.0.instrument", "kind 'swap' is unknown; use one of [^\n]*option"),
        (claims(bars=1440), "(whole)", "claims of up to 1440 bars outlive the book's bars = 720; shorten them"),
        ({"claims": []}, "claims", "at least 1 item"),
        ({"claims": [{"count": 0}]}, "claims.0.count", "greater than 0"),
        ({"claims": [{"units": float("nan")}]}, "claims.0.units", "finite"),
        (claims(kind="liquidity_position", lower=1.3), "claims.0.instrument", "lower = 1.3 is not below upper = 1.25"),
        ({"hedges": []}, "hedges", "at least 1 item"),
        ({"hedges": [{"instrument": {"bars": 720}}]}, "(whole)", "no perpetual, future or spot; add one"),
        ({"hedges": [{}, {"instrument": {"bars": 1000}}]}, "(whole)", "options before perpetuals"),
        ({"hedges": [{"instrument": {"bars": 48}}, {}]}, "(whole)", "hedging option may end before [^\n]* bars = 720"),
        ({"bars": 10}, "(whole)", "decision_bars = 4 must divide bars = 10"),
        ({"bars": 0}, "bars", "greater than 0"),
        ({"bars": 10**9}, "bars", "less than or equal to 100000"),
        ({"bar_hours": -1}, "bar_hours", "greater than 0"),
        ({"notional": float("inf")}, "notional", "finite"),
        ({"target": {"delta": float("nan")}}, "target.delta", "finite"),
        ({"target": {"rho": 1.0}}, "target.rho", "not a setting"),
        ({"margin": {"mode": "portfolio"}}, "margin.mode", "'none', 'isolated' or 'cross'"),
        ({"margin": {"mode": "isolated", "portfolio": True}}, "margin", "portfolio margin needs mode cross"),
        ({"margin": {"tiers": [{}, {"notional": 10, "rate": 0.001}]}}, "margin", "rates must not fall, 0.001 follows"),
        ({"margin": {"tiers": [{"notional": 5}]}}, "margin", "must start at notional 0"),
        ({"margin": {"tiers": [{}, {"notional": 9}, {"notional": 9}]}}, "margin", "must rise in notional, 9 follows 9"),
        ({"margin": {"mode": "cross", "collateral": [{"amount": -1}]}}, "margin.collateral.0.amount", "greater than 0"),
        ({"risk_aversion": 0}, "risk_aversion", "greater than 0"),
        ({"claims": [{"arrivals": {"rate": 0}}]}, "claims.0.arrivals.rate", "greater than 0"),
        ({"claims": [{"arrivals": {"rate": 1, "opposite": 2}}]}, "claims.0.arrivals.opposite", "or equal to 1"),
        ({"claims": [{"instrument": {"bars": 48}, "arrivals": {"rate": 1}}]}, "(whole)", 'arrive late; .*"mark"'),
        ({"hedges": [{"roll_bars": 4}, {}]}, "(whole)", "drop it from the perpetual"),
        ({"hedges": [listed(roll_bars=7), {}]}, "(whole)", "roll_bars = 7 must divide bars = 720"),
        ({"hedges": [listed(bars=24), {}]}, "(whole)", "may end before the next is listed, 48 bars on"),
        ({"hedges": [listed(), {}]}, "(whole)", 'set closing = "mark"'),
        ({"hedges": [listed(), {}], "closing": "mark", "margin": {"mode": "cross"}}, "(whole)", 'margin mode "none"'),
    ],
)  # fmt: skip
def test_a_contract_that_cannot_be_is_one_line_with_the_place(raw: dict[str, Any], place: str, words: str) -> None:
    escaped = place.replace(".", r"\.").replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(BadInput, match=rf"^book\.toml: {escaped}[^\n]*({words.lower()})[^\n]*$") as caught:
        validated(Contract, raw, "book.toml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"volatility": [-0.5]}, "greater than 0"),
        ({"volatility": []}, "at least 1 item"),
        ({"volatility": [float("nan")]}, "not nan"),
        ({"volatility": [1e6]}, "less than or equal to 100"),
        ({"spot": 0.0}, "greater than or equal to 0.000000001"),
        ({"spot": 1e30}, "less than or equal to 1000000000000"),
        ({"drift": 1e6}, "less than or equal to 100"),
        ({"half_spread": 2.0}, "less than 1"),
        ({"bar_hours": 1e6}, "less than or equal to 8760"),
        ({"correlation": [[1.0, 0.5], [0.5]], "volatility": [0.5, 0.5]}, "2 rows of 2 entries"),
        ({"assets": 5}, ""),
        ({"assets": "btc_2017_2022"}, ""),
        ({"correlation": [[1.0, 2.0], [2.0, 1.0]], "volatility": [0.5, 0.5]}, "positive definite"),
    ],
)
def test_a_market_that_cannot_be_is_one_line(settings: dict[str, Any], words: str) -> None:
    raw = {"id": "Wrong", "about": "x", "market": {"kind": "gbm", "settings": settings}}
    with pytest.raises(BadInput, match=rf"^here: market\.settings[^\n]*({words})[^\n]*$"):
        validated(Task, raw, "here")


def test_assets_that_are_no_list_are_one_line_in_the_shipped_market_too() -> None:
    for assets in ("btc_2017_2022", 5, {"first": "btc_2017_2022"}):
        raw = {"id": "Wrong", "about": "x", "market": {"settings": {"assets": assets}}}
        with pytest.raises(BadInput, match=r"^here: market\.settings[^\n]*(list|tuple)[^\n]*$"):
            validated(Task, raw, "here")


def test_a_calibration_that_is_not_there_is_named() -> None:
    raw = {"id": "Wrong", "about": "x", "market": {"settings": {"assets": ["doge"]}}}
    with pytest.raises(BadInput, match=r"^here: market\.settings: [^\n]*doge\.toml: no such file[^\n]*$"):
        validated(Task, raw, "here")


@pytest.mark.parametrize("raw", [{"id": "no spaces", "about": "x"}, {"id": "9lives", "about": "x"}, {"about": "x"}])
def test_an_id_that_gymnasium_could_not_register_is_refused(raw: dict[str, Any]) -> None:
    market = {"market": {"kind": "gbm", "settings": {}}}
    with pytest.raises(BadInput, match=r"^here: id: [^\n]*$"):
        validated(Task, {**raw, **market}, "here")


def test_collateral_in_the_coin_of_an_asset_that_is_not_there_is_refused() -> None:
    margin = {"mode": "cross", "collateral": [{"amount": 1.0, "asset": 3}]}
    with pytest.raises(BadInput, match=r"^margin: collateral in asset 3, the market has 1[^\n]*$"):
        world(1, 1, contract(margin=margin))


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"notional": 1e38}, "observation"),
        ({"hedges": [{}], "claims": [{"instrument": {"bars": 48}, "units": 1e30}]}, "reward"),
    ],
)
def test_settings_out_of_all_proportion_are_refused_before_a_nan_is_learned_from(
    changed: dict[str, Any], what: str
) -> None:
    """Each number is finite, yet single precision overflows."""
    env = HedgingVectorEnv(num_envs=2, task=task(contract(**changed)))

    def played() -> None:
        env.reset(seed=1)
        env.step(np.ones(env.action_space.shape, dtype=np.float32))

    with pytest.raises(BadInput, match=rf"^{what} of environment 0 is (nan|-?inf); bring the task's settings nearer"):
        played()


def test_a_folder_in_place_of_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "task.toml").mkdir()
    with pytest.raises(BadInput, match=r"task\.toml: is a directory; give the path of an existing TOML file$"):
        Task.load(tmp_path / "task.toml")


@pytest.mark.parametrize(("paths", "hedgers"), [(0, 1), (1, 0), (-3, 1)])
def test_a_world_of_nothing_is_refused(paths: int, hedgers: int) -> None:
    market = GbmMarket(GbmMarket.Settings(), 720, torch.Generator(), torch.float32, torch.device("cpu"))
    with pytest.raises(BadInput, match=rf"{paths} paths with {hedgers} hedgers each is empty; give at least 1 of both"):
        HedgingWorld(market, Contract(), MeanShortfall(), paths, hedgers, torch.Generator())


@pytest.mark.parametrize("cell", ["nan", "", "-5", "0", "inf", "abc"])
def test_prices_that_are_none_never_get_as_far_as_a_world(tmp_path: Path, cell: str) -> None:
    """A replayed file is refused as it is read, with its row."""
    rows = [f"2024-01-{1 + h // 24:02d}T{h % 24:02d}:00:00Z,100,101,99,100,1" for h in range(60)]
    rows[30] = rows[30].replace(",100,1", f",{cell},1")
    path = tmp_path / "bars.csv"
    path.write_text("\n".join(["time,open,high,low,close,volume", *rows]) + "\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"bars\.csv: row 32: "):
        history.load_bars(path)


def test_numbers_that_cannot_be_are_refused_wherever_a_table_has_one() -> None:
    """Every number of a contract, one at a time, as NaN: none gets through."""
    raw = contract(
        margin={"mode": "cross", "collateral": [{"amount": 1.0}]},
        claims=[{"instrument": {"bars": 48}, "units": [-1.0, 1.0]}, {"instrument": {"kind": "liquidity_position"}}],
    ).model_dump(mode="json")
    paths = list(numbers(raw))
    assert len(paths) > 25
    for path in paths:
        with pytest.raises(BadInput):
            validated(Contract, spoiled(raw, path), "book")
    assert Contract.model_validate(raw)


def numbers(tree: Any, path: tuple[Any, ...] = ()) -> Any:
    if isinstance(tree, (dict, list)):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from numbers(value, (*path, key))
    elif isinstance(tree, (int, float)) and not isinstance(tree, bool):
        yield path


def spoiled(tree: Any, path: tuple[Any, ...]) -> Any:
    if not path:
        return float("nan")
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[path[0]] = spoiled(tree[path[0]], path[1:])
    return copy
