from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli_w

from agents import card
from envs.types import BadInput
from serve import breaker, config
from serve.limits import Limits
from serve.servable import check
from tests.serve.support import TARGET, raw_config

CONFIGS = Path(__file__).parents[2] / "configs"
ACCOUNT = {"name": "otc", "exchange": "deribit", "keys": {"file": "k"}, "timeout_seconds": 5, "poll_seconds": 60}


def load(tmp_path: Path, raw: dict[str, Any]) -> config.ServeConfig:
    path = tmp_path / "paper.toml"
    path.write_text(tomli_w.dumps(raw))
    return config.load(path)


@pytest.mark.parametrize("name", ["paper", "paper_multi_asset", "paper_option_book"])
def test_the_shipped_settings_are_good(name: str) -> None:
    """They fit the legs of the models that they name, which say so themselves."""
    settings = config.load(CONFIGS / f"{name}.toml")
    assert settings.model is not None
    check(card.read(CONFIGS.parent / settings.model).task, settings.assets, settings.legs)


def test_good_settings_load(tmp_path: Path) -> None:
    assert load(tmp_path, raw_config()).limits.max_messages == 20


@pytest.mark.parametrize("book", [{"source": "api"}, {"source": "account", "account": ACCOUNT}])
def test_books_from_elsewhere_load_and_an_account_s_is_rehearsed(tmp_path: Path, book: dict[str, Any]) -> None:
    """A rehearsal takes the place of the account's exchange; there is nothing to rehearse on paper without one."""
    account = load(tmp_path, raw_config(book=book)).book.account
    address = "http://127.0.0.1:8123"
    if account is None:
        with pytest.raises(BadInput, match="trade on paper, which needs none"):
            config.load(tmp_path / "paper.toml", address)
        return
    assert account.rehearsal is None
    rehearsed = config.load(tmp_path / "paper.toml", address).book.account
    assert rehearsed == account.model_copy(update={"rehearsal": address})


def lacking(name: str) -> dict[str, Any]:
    return {key: value for key, value in ACCOUNT.items() if key != name}


def missing(path: str) -> dict[str, Any]:
    raw = raw_config()
    *parents, last = path.split(".")
    section: Any = raw
    for part in parents:
        section = section[part]
    del section[last]
    return raw


@pytest.mark.parametrize(
    "path",
    [f"limits.{name}" for name in Limits.model_fields]
    + ["limits.assets.BTC", "limits.assets.BTC.gamma", "limits.legs.BTC-PERP.order", "limits.stress_loss.soft"]
    + [
        f"{part}.{name}"
        for part in ("bands", "execution", "stress", "reconcile", "oracle", "collateral")
        for name in raw_config()[part]
    ]
    + ["targets.BTC", "targets.BTC.hedge_ratio"]
    + [f"breakers.{name}" for name in breaker.names()]
    + ["breakers.loss.loss.entry", "breakers.price_jump.dwell_seconds", "clocks.warmup_bars", "name", "legs", "assets"],
)
def test_a_missing_limit_is_an_error(tmp_path: Path, path: str) -> None:
    with pytest.raises(BadInput, match=path.split(".")[-1]) as caught:
        load(tmp_path, missing(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"limits__max_odrer": "5"}, "max_odrer"),
        ({"limits__legs__BTC-PERP__order__soft": "-5"}, "order.soft"),
        ({"limits__legs__BTC-PERP__order__soft": "50"}, "soft = 50 is above hard"),
        ({"breakers__loss__entry_los": 5}, "breakers.loss: entry_los"),
        ({"breakers__loss__loss__exit": 60_000}, "exit = 60000 must be below entry"),
        ({"breakers__stale_input__confirmations": 0}, "confirmations"),
        ({"breakers__os": {}}, "no such breaker"),
        ({"name": "Has Space"}, "name"),
        ({"task": "short_call"}, "either model or task"),
        ({"model": None}, "either model or task"),
        ({"calibration": "x.toml"}, "calibration"),
        ({"limits__max_messages": True}, "max_messages: true or false is no number"),
        ({"legs": [{"symbol": "BTC-PERP", "lot": True}]}, r"legs\.lot: true or false"),
        ({"limits__per_seconds": 7200}, "per_seconds"),
        ({"venue__seed": -1}, "venue.seed"),
        ({"venue__name": "nyse"}, "venue.name"),
        ({"assets": [{"name": "BTC"}, {"name": "BTC"}]}, "one name"),
        ({"targets__ETH": TARGET}, "targets.ETH is unknown"),
        ({"targets__BTC__hedge_ratio": 1.6}, "hedge_ratio"),
        ({"targets__BTC__delta": -20.5}, r"targets\.BTC\.delta is beyond its hard limit of 20"),
        ({"legs": [{"symbol": "BTC-C", "lot": "1", "strike": 5.0}]}, "strike or expiry alone"),
        ({"bands__calm_volatility": 9.0}, "calm reading"),
        ({"book": {"source": "file"}}, "book.path"),
        ({"book": {"source": "account"}}, "book.account belongs"),
        ({"book": {"source": "file", "path": "b", "account": ACCOUNT}}, "book.account belongs"),
        *(({"book": {"source": "account", "account": lacking(name)}}, f"account.{name}") for name in ACCOUNT),
        ({"book": {"source": "account", "account": ACCOUNT | {"exchange": "nyse"}}}, "no exchange 'nyse'"),
        ({"book": {"source": "account", "account": ACCOUNT | {"name": "a:b"}}}, "account.name"),
        ({"book": {"source": "account", "account": ACCOUNT, "funding": "btc"}}, "book.funding"),
        ({"book": {"source": "api", "path": "b"}}, "book.path"),
        ({"challenger": "models/x", "model": None, "task": "short_call"}, "challenger"),
    ],
)
def test_bad_settings_are_one_line_that_names_them(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    raw = {name: value for name, value in raw_config(**changes).items() if value is not None}
    with pytest.raises(BadInput, match=words) as caught:
        load(tmp_path, raw)
    assert "\n" not in str(caught.value)


def test_no_file_and_no_toml(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        config.load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("limits = [")
    with pytest.raises(BadInput, match="not valid TOML"):
        config.load(tmp_path / "bad.toml")
