"""A file put into envs/instruments/ is parsed, hedged and checked like the rest."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
import torch

import envs.instruments
from agents.classical.delta import Delta
from envs import portfolio
from envs.contract import Contract
from tests.contracts.test_instrument import CHECKS, FOLDER
from tests.envs.worlds import F64, carried, contract, world

NEWCOMER = '''
"""A power contract: pays the square of the spot over the spot at its opening."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from envs.instrument import Instrument, Opening, Terms, View
from envs.types import Greeks, Quote


@dataclass(frozen=True)
class SquareTerms(Terms):
    strike: Tensor


class Square(Instrument):
    """Worth S²·e^{σ²τ}/K where there is no rate."""

    kind: Literal["square"] = "square"
    linear: ClassVar[bool] = False

    def opened(self, view: View, opening: Opening) -> SquareTerms:
        bars = opening.bars_left[:, None].expand(-1, opening.copies)
        return SquareTerms(bars, view.quote.spot[:, None].expand(-1, opening.copies))

    def greeks(self, terms: SquareTerms, view: View) -> Greeks:
        spot, time = view.quote.spot[:, None], view.years(terms.bars_left)
        volatility = view.surface.volatility(view.quote, view.memory, terms.strike, terms.bars_left)
        growth = torch.exp(volatility.square() * time) / terms.strike
        value = spot.square() * growth
        theta = -volatility.square() * value
        return Greeks(value, 2 * spot * growth, 2 * growth, 2 * volatility * time * value, theta)

    def payoff(self, terms: SquareTerms, opening: Quote, view: View) -> Tensor:
        return view.quote.spot[:, None].square() / terms.strike
'''

FAULTY = NEWCOMER.replace("2 * spot * growth, 2 * growth", "spot * growth, 2 * growth").replace(
    "square() / terms.strike\n", "square() / terms.strike / 2\n"
)


def added(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file `square.py` in a `folder` that is a part of envs.instruments."""
    (folder / "square.py").write_text(text)
    monkeypatch.setattr(envs.instruments, "__path__", [*envs.instruments.__path__, str(folder)])
    monkeypatch.delitem(sys.modules, f"{FOLDER}.square", raising=False)
    importlib.invalidate_caches()


def test_a_new_file_is_found_parsed_hedged_and_passes_every_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a contract by its name, neutral at twice the spot over the strike; nothing else is edited."""
    added(tmp_path, NEWCOMER, monkeypatch)
    rules = contract(decision_bars=1, claims=[{"instrument": {"kind": "square"}, "units": -0.5}])
    assert rules.claims[0].instrument.kind == "square"
    assert Contract.model_validate(rules.model_dump(mode="json")) == rules
    hedging = world(2, 500, rules)
    assert portfolio.gross(rules, hedging.episode.portfolio, 0).tolist() == pytest.approx([5e5] * 500)
    expected = float(torch.exp(torch.tensor(0.64 * 48 / 8760, dtype=F64)))
    assert hedging.observation.neutral[:, 0, 0].tolist() == pytest.approx([expected] * 500, rel=1e-12)
    _, loss = carried(hedging, Delta())
    assert float(loss.std()) < 5e-3
    assert len(CHECKS) > 12
    for each in CHECKS:
        each("square")
    sys.modules.pop(f"{FOLDER}.square")


def test_a_new_file_that_breaks_the_contract_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A delta of half its size and a payoff without its strike: three checks see it."""
    added(tmp_path, FAULTY, monkeypatch)
    failed = set()
    for each in CHECKS:
        try:
            each("square")
        except AssertionError:
            failed.add(each.__name__)
    sys.modules.pop(f"{FOLDER}.square")
    assert failed >= {
        "test_greeks_are_the_slopes_of_the_value",
        "test_what_it_pays_is_what_it_is_worth_when_no_bars_are_left",
    }
    assert "test_everything_has_one_row_per_path_and_one_column_per_copy" not in failed
