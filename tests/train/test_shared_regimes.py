"""Regimes are pairs of an era and a pace, and a second asset may be held to the first's."""

from __future__ import annotations

import numpy as np
import pytest

from envs.calibration import Calibration
from envs.history import DATA
from train import msgarch
from train.msgarch import Sample

HOUR = 1 / 8760


def test_an_era_multiplies_omega_alone_and_changes_apart_from_the_pace() -> None:
    shipped = Calibration.load(DATA / "btc_2017_2022.toml").regimes
    omega, transition = np.array(shipped.omega).reshape(2, 2), np.array(shipped.transition)
    assert omega[1] / omega[0] == pytest.approx(omega[1, 0] / omega[0, 0])
    era = transition.reshape(2, 2, 2, 2).sum(axis=3)[:, 0]
    pace = transition.reshape(2, 2, 2, 2).sum(axis=2)[0]
    assert np.kron(era, pace) == pytest.approx(transition)


def test_held_to_anothers_regimes_all_but_their_changes_is_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A market of two volatilities, in stretches of 200 bars, which the shipped chances of change do not fit."""
    monkeypatch.setattr(msgarch, "SCREENING", 1)
    monkeypatch.setattr(msgarch, "MAX_STEPS", 2)
    like = Calibration.load(DATA / "btc_2017_2022.toml").regimes
    returns = np.random.default_rng(21).standard_normal(800) * np.where(np.arange(800) // 200 % 2, 0.02, 0.005)
    every = np.ones(800, bool)
    sample = Sample.of(returns, every, ~every, HOUR, 6.0)
    near = msgarch.fit(sample, 2, like)
    held = msgarch.refine(sample, near, like)
    for found in (near, held):
        assert np.array(found.regimes.transition) == pytest.approx(np.array(like.transition))
        assert found.regimes.omega != pytest.approx(like.omega, rel=0.5)
    assert near.parameters == len(msgarch.STARTS[0]) - 4
    assert held.log_likelihood > near.log_likelihood
