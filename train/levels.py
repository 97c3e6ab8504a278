"""The last step of a calibration: levels that no formula gives, by simulated moments.

Common random numbers make each trial comparable with the one before. Three levels are met: the sample's variance (ω's
scale), how often moves beyond a cascade's size are seen (the hazard's scale: ordinary shocks of a regime that the
filter did not expect count too), and the mean premium of implied over the following realised volatility.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from envs.calibration import Calibration
from envs.markets.garch import GarchMarket
from envs.seeding import generators
from train.cascades import CASCADE_MOVE

PATHS, TRIALS, SEED = 4096, 4, 314
IMPLIED_PREMIUM = 0.09  # 30-day implied volatility less the realised that followed, BTC on average (shared measurement)


@dataclass(frozen=True)
class Levels:
    variance: float  # mean r² per year
    cascades: float  # share of bars that moved by more than CASCADE_MOVE filtered standard deviations
    realised: float  # mean volatility of 30 days
    forecast: float  # mean forecast of it


def met(draft: Calibration, variance: float, cascades: float) -> Calibration:
    """`draft` with its levels moved to the sample's `variance` per year and share of `cascades`."""
    for _ in range(TRIALS):
        found = simulated(draft)
        draft = _scaled(draft, variance / found.variance, min(max(cascades / found.cascades, 0.25), 4.0))
    found = simulated(draft)
    premium = (found.realised + IMPLIED_PREMIUM) / found.forecast
    return draft.model_copy(update={"surface": draft.surface.model_copy(update={"risk_premium": premium})})


@torch.inference_mode()
def simulated(calibration: Calibration) -> Levels:
    """Of PATHS months, in the stationary law."""
    (generator,) = generators(SEED, 1)
    settings = GarchMarket.Settings(assets=(calibration,))
    month, cpu = calibration.implied_bars, torch.device("cpu")
    market = GarchMarket(settings, month, generator, torch.float32, cpu)
    state, memories = market.initial(PATHS)
    (filter,) = market.filters
    forecast = filter.implied_variance(memories[0]).sqrt().mean()
    squares, extreme = torch.zeros(PATHS), torch.zeros(())
    for _ in range(month):
        variance, before = filter.spot_variance(memories[0]) * filter.bar, state.spot[:, 0]
        state, memories, _ = market.step(state, memories)
        square = torch.log(state.spot[:, 0] / before).square()
        squares += square
        extreme += (square > CASCADE_MOVE**2 * variance).float().mean()
    yearly = squares / (month * filter.bar)
    return Levels(float(yearly.mean()), float(extreme) / month, float(yearly.sqrt().mean()), float(forecast))


def _scaled(draft: Calibration, variance: float, hazard: float) -> Calibration:
    """With every ω times `variance`, and every rate of cascades times `hazard`."""
    omega = tuple(variance * value for value in draft.regimes.omega)
    rates = {name: hazard * getattr(draft.shocks, name) for name in ("base_rate", "excitation")}
    return draft.model_copy(
        update={
            "regimes": draft.regimes.model_copy(update={"omega": omega}),
            "shocks": draft.shocks.model_copy(update=rates),
        }
    )
