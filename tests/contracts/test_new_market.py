"""A file put into envs/markets/ is found and checked like the rest."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

import envs.markets
from tests.contracts import test_market

GOOD = """
from envs.markets.gbm import GbmMarket

class QuietMarket(GbmMarket):
    pass
"""

BAD = """
from dataclasses import replace
from envs.markets.gbm import GbmMarket

class QuietMarket(GbmMarket):
    def quote(self, state, memories):
        return tuple(replace(quote, low=quote.spot * 1.01) for quote in super().quote(state, memories))
"""


def added(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The market in a file `quiet.py` of a `folder` that is a part of envs.markets."""
    (folder / "quiet.py").write_text(text)
    monkeypatch.setattr(envs.markets, "__path__", [*envs.markets.__path__, str(folder)])
    monkeypatch.delitem(sys.modules, "envs.markets.quiet", raising=False)
    importlib.invalidate_caches()
    (found,) = [kind for kind in test_market.kinds() if kind.__name__ == "QuietMarket"]
    return found


def test_a_new_file_is_found_and_passes_every_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = added(tmp_path, GOOD, monkeypatch)
    test_market.test_every_file_holds_one_market_named_after_it()
    assert len(test_market.CHECKS) > 10
    for check in test_market.CHECKS:
        if not check.__name__.endswith("accelerator"):
            check(kind)


def test_a_new_file_that_breaks_the_contract_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = added(tmp_path, BAD, monkeypatch)
    with pytest.raises(AssertionError):
        test_market.test_lows_and_highs_hold_both_ends_of_the_bar(kind)
