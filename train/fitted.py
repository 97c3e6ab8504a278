"""What `arch`'s models say of a real record, and of simulated ones as long: persistence, tails, long memory, criteria.

A record that is fitted needs its bars in order, so the resamples behind the intervals are laid out bar by bar.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from arch.univariate import FIGARCH, StudentsT, ZeroMean

from envs.types import HOURS_PER_YEAR
from train import fidelity, resampling
from train.fidelity import Array, Target
from train.single import MODELS, fit_arch

RESAMPLES, PATHS = 30, 12
PLAIN, LONG = "GARCH-t", "FIGARCH-t"
REMEMBERED = 250  # bars that FIGARCH's weights reach back
TWO_YEARS = 730  # days


def judged(
    real: Array, paths: Sequence[Array], bar_hours: float, block: float, seed: int, tell: Callable[[str], None]
) -> list[Target]:
    """The `statistics` of log returns `real` (n,) and of the first PATHS of `paths`; NaN where missing."""
    generator = np.random.default_rng(seed)
    found = statistics(real, bar_hours)
    resampled, simulated = [], []
    for k in range(RESAMPLES):
        tell(f"fitting resamples: {k / RESAMPLES:.0%}")
        resampled.append(statistics(real[resampling.order(len(real), block, generator)], bar_hours))
    for k, path in enumerate(paths[:PATHS]):
        tell(f"fitting simulations: {k / len(paths[:PATHS]):.0%}")
        simulated.append(statistics(path, bar_hours))
    return [
        fidelity.beside(name, value, np.array([each[name] for each in resampled]), [s[name] for s in simulated], False)
        for name, value in found.items()
    ]


def statistics(returns: Array, bar_hours: float) -> dict[str, float]:
    """By name, of log `returns` (n,); those of two years are left out where there are fewer days."""
    known = returns[np.isfinite(returns)]
    dt = bar_hours / HOURS_PER_YEAR
    fits = {name: fit_arch(name, known, dt) for name in MODELS}
    plain, (memory, criterion) = fits[PLAIN], _long_memory(known)
    criteria = {name: fit.bic for name, fit in fits.items()} | {LONG: criterion}
    found = {
        f"{PLAIN}, α + β": plain.alpha + plain.beta,
        f"{PLAIN}, degrees of freedom": plain.degrees_of_freedom,
        f"{LONG}, d": memory,
        **{
            f"BIC of {n} less {PLAIN}'s, per bar": (b - plain.bic) / len(known)
            for n, b in criteria.items()
            if n != PLAIN
        },
    }
    persistence = _by_two_years(returns, bar_hours)
    return found | ({f"{PLAIN}, α + β of days, least of two years": min(persistence)} if persistence else {})


def _long_memory(returns: Array) -> tuple[float, float]:
    """d of FIGARCH(1, d, 1)-t, and its Bayesian criterion in the units of `returns` (n,).

    Baillie, Bollerslev and Mikkelsen (1996), J. Econometrics 74, 3; `arch`'s estimate.
    """
    scale = float(np.sqrt((returns**2).mean()))
    model = ZeroMean(
        returns / scale, volatility=FIGARCH(truncation=REMEMBERED), distribution=StudentsT(), rescale=False
    )
    found = model.fit(disp="off", show_warning=False)
    log_likelihood = float(found.loglikelihood) - len(returns) * math.log(scale)
    return float(found.params["d"]), len(found.params) * math.log(len(returns)) - 2 * log_likelihood


def _by_two_years(returns: Array, bar_hours: float) -> list[float]:
    """α + β of GARCH-t on the days of each whole window of two years."""
    each = max(round(24 / bar_hours), 1)
    days = np.nan_to_num(returns)[: len(returns) // each * each].reshape(-1, each).sum(axis=1)
    windows = days[: len(days) // TWO_YEARS * TWO_YEARS].reshape(-1, TWO_YEARS)
    fits = [fit_arch(PLAIN, window, each * bar_hours / HOURS_PER_YEAR) for window in windows]
    return [fit.alpha + fit.beta for fit in fits]
