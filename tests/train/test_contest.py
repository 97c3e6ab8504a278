"""The contest fits the first bars and judges on the others; its scores are the filters' own."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from envs.history import Bars, load_bars
from envs.types import HOUR, BadInput
from envs.volatility import egarch
from train.contest import HORIZONS, MIN_BARS, WARM_UP, Entry, contest, table
from train.single import fit_arch


@pytest.fixture(scope="module")
def window() -> Bars:
    return load_bars("btc").window("2020-09-01", "2021-01-15")


@pytest.fixture(scope="module")
def entries(window: Bars) -> dict[str, Entry]:
    return {entry.name: entry for entry in contest(window)}


@pytest.mark.slow
def test_every_model_is_judged_and_the_fitted_stand_in_order(entries: dict[str, Entry]) -> None:
    assert len(entries) == 7
    assert all(len(entry.loss) == len(HORIZONS) and min(entry.loss) > 0 for entry in entries.values())
    bic = [entry.bic for entry in entries.values() if entry.bic is not None]
    assert len(bic) == 5
    assert bic == sorted(bic)
    assert list(entries)[-2:] == ["realised, closes", "realised, Garman–Klass"]
    assert entries["GARCH-normal"].score < entries["GARCH-t"].score
    assert table(tuple(entries.values())).row_count == 7


@pytest.mark.slow
def test_egarchs_row_is_its_filter_step_by_step(window: Bars, entries: dict[str, Entry]) -> None:
    returns, usable = window.log_returns()
    returns = returns[usable]
    split = round(len(returns) * 0.7)
    fit = fit_arch("EGARCH-t", returns[:split], HOUR)
    model, entry = fit.egarch(10.0), entries["EGARCH-t"]
    assert (entry.parameters, entry.log_likelihood, entry.bic) == (5, fit.log_likelihood, fit.bic)
    h = torch.tensor([np.mean(returns[:split] ** 2) / HOUR])
    scores, losses = [], []
    for bar, value in enumerate(torch.from_numpy(returns[split - WARM_UP :]).unsqueeze(-1), split - WARM_UP):
        if bar >= split:
            scores.append(float(egarch.log_density(model, h, value, HOUR)))
            if (bar - split) % 24 == 0 and bar + 24 <= len(returns):
                ratio = (
                    np.mean(returns[bar : bar + 24] ** 2) / HOUR / float(egarch.expected_variance(model, h, 24).mean())
                )
                losses.append(ratio - math.log(ratio) - 1)
        h = egarch.next_variance(model, h, value, HOUR)
    assert entry.score == pytest.approx(np.mean(scores), rel=1e-10)
    assert entry.loss[0] == pytest.approx(np.mean(losses), rel=1e-4)  # its filter reads a table


@pytest.mark.slow
def test_no_fit_sees_the_judged_bars(window: Bars, entries: dict[str, Entry]) -> None:
    frame = window.frame.copy()
    late = frame.index[-500:]
    frame.loc[late, ["open", "high", "low", "close"]] **= 1.02
    other = {entry.name: entry for entry in contest(replace(window, frame=frame))}
    for name, entry in entries.items():
        assert other[name].log_likelihood == entry.log_likelihood
        assert other[name].loss != entry.loss


@pytest.mark.slow
def test_closes_alone_have_no_range_to_judge(window: Bars, entries: dict[str, Entry]) -> None:
    frame = window.frame.assign(**dict.fromkeys(("open", "high", "low"), window.frame["close"]))
    found = {entry.name: entry for entry in contest(replace(window, frame=frame))}
    assert set(entries) - set(found) == {"realised, Garman–Klass"}
    assert all(found[name] == entries[name] for name in found)


def test_a_short_window_is_refused(window: Bars) -> None:
    with pytest.raises(BadInput, match="longer window"):
        contest(replace(window, frame=window.frame.iloc[:MIN_BARS]))
