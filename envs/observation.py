"""The one builder of observations, for simulation and live alike: dimensionless, from quotes, memories and books."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from envs import bands, portfolio
from envs.calibration import Calibration
from envs.contract import Contract
from envs.instrument import View
from envs.scene import REFERENCE_LIFE, Scene, stacked
from envs.surface import Surface
from envs.types import BadInput, Quote
from envs.volatility.memory import Filter, Memory

VERSION = 3  # of the formulae below, raised with every change of one; a card's hash covers it
WIDEST = 4.0  # clamp of the standardised features
LEAST_WIDTH = 1e-5  # of a half-width: where nothing is left to hedge
REACH = 1.5  # of a band's edges, over the gross units of the asset's claims and coins, beside the target
BOOK = ("delta", "delta_down", "delta_up", "gamma", "vega", "next_expiry", "last_expiry")
MARKET = ("forecast_over_implied", "spot_over_implied", "implied_over_reference", "stress", "funding")


@dataclass(frozen=True)
class Observation:
    """What an agent may know: `features` for the learned policy, the analytics after it for the classical hedges.

    Analytics are (P, G, K), over the base units of the instrument's asset; a G of 1 stands for all hedgers.
    """

    features: Tensor  # (P, G, F)
    hedge: Tensor  # held
    neutral: Tensor  # what neutralises the instrument's greek, the other hedges as they are
    centre: Tensor  # of the tuned classical band
    half_width: Tensor  # of the tuned classical band
    limit: Tensor  # that no band passes, on either side of 0
    implied_volatility: Tensor  # at the money, 30 days, per √year
    forecast_volatility: Tensor  # filtered, averaged to the last expiry, per √year
    time_to_expiry: Tensor  # years to the last expiry, at least one bar
    worth: Tensor | None  # (P, G) wealth, where profit is counted in coin
    loss: Tensor | None  # (P, G) so far over a usual premium, where it is kept
    scene: Scene

    def of(self, hedger: int) -> Observation:
        """What one `hedger` of the G sees."""
        own = slice(hedger, hedger + 1)
        names = ("features", "hedge", "neutral", "centre", "half_width", "limit")
        cut = {name: value[:, own] if (value := getattr(self, name)).shape[1] > 1 else value for name in names}
        worth, loss = (None if each is None else each[:, own] for each in (self.worth, self.loss))
        return replace(self, **cut, worth=worth, loss=loss, scene=self.scene.of(hedger))


class Observer:
    """Builds observations of a contract's book; never sees more than quotes left behind."""

    def __init__(
        self,
        contract: Contract,
        calibrations: Sequence[Calibration],
        filters: Sequence[Filter],
        surfaces: Sequence[Surface],
    ) -> None:
        """`calibrations`, `filters`, `surfaces`: one per asset. Raises BadInput where they do not suit the contract."""
        if len(calibrations) < contract.assets:
            raise BadInput(f"the contract names {contract.assets} assets, the market has {len(calibrations)}; add more")
        for each in calibrations:
            if not math.isclose(contract.bar_hours, each.source.bar_hours, rel_tol=1e-9):
                raise BadInput(
                    f"contract.bar_hours is {contract.bar_hours:g}, the market was calibrated on bars of "
                    f"{each.source.bar_hours:g} h; set both alike"
                )
        self.contract, self.calibrations = contract, tuple(calibrations)
        self.filters, self.surfaces = tuple(filters), tuple(surfaces)
        self.names = self._names()

    @property
    def sha256(self) -> str:
        """Hash of the features, their order and every parameter that enters them."""
        parameters = {
            "version": VERSION,
            "names": self.names,
            "calibrations": [each.model_dump(mode="json", exclude={"source"}) for each in self.calibrations],
            "contract": self.contract.model_dump(mode="json"),
        }
        return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()

    def views(self, quotes: Sequence[Quote], memories: Sequence[Memory]) -> tuple[View, ...]:
        """Each asset's market, as instruments are priced in it."""
        each = zip(quotes, memories, self.surfaces, strict=True)
        return tuple(View(quote, memory, surface, self.contract.bar) for quote, memory, surface in each)

    def observe(
        self, scene: Scene, cushion: Tensor | None = None, worth: Tensor | None = None, loss: Tensor | None = None
    ) -> Observation:
        """The observation of `scene`.

        `cushion` (P, G): distance to liquidation, where there is margin. `worth` (P, G): wealth, if counted in coin.
        `loss` (P, G): as `Observation.loss`.
        """
        views = scene.views
        forecast = tuple(
            self.filters[a].term_variance(view.memory, scene.exposures[a].last_bars).sqrt()
            for a, view in enumerate(views)
        )
        volatility = scene.columns([view.quote.implied_volatility for view in views])
        time = scene.columns(scene.times)
        limit = REACH * self._gross(scene) + abs(self.contract.target.delta)
        cases = [self._cases(scene, a, one) for a, one in enumerate(scene.stretches(self.contract.risk_aversion))]
        stretched = scene.neutral(tuple(delta for delta, _, _ in cases), worth)
        centre = stretched.maximum(-limit).minimum(limit)
        half_width = self._half_width(scene, time, volatility).minimum(limit).clamp(min=LEAST_WIDTH)
        shared = [row for a in range(len(views)) for row in self._shared(scene, a, forecast[a], *cases[a][1:])]
        shared += [self._time_left(scene)] if self.contract.ends_early else []
        return Observation(
            features=_assembled(
                [*shared, *self._dials(scene)], [*self._kept(scene), *_own(scene.hedge, centre, half_width, cushion)]
            ),
            hedge=scene.hedge,
            neutral=scene.neutral(tuple(each.delta for each in scene.exposures), worth),
            centre=centre,
            half_width=half_width,
            limit=limit,
            implied_volatility=volatility,
            forecast_volatility=scene.columns(forecast),
            time_to_expiry=time,
            worth=worth,
            loss=loss,
            scene=scene,
        )

    def _gross(self, scene: Scene) -> Tensor:
        """(P, G or 1, K): gross units of each instrument's asset that are not traded any more, over its base units."""
        columns = []
        for a in scene.assets:
            claims, kept = portfolio.gross(self.contract, scene.book, a)[:, None], scene.kept[a]
            columns.append((claims if kept is None else claims + kept.gross) / scene.book.base[a][:, None])
        return stacked(columns)

    def _half_width(self, scene: Scene, time: Tensor, volatility: Tensor) -> Tensor:
        """Zakamouline's for what is linear; for an option, what keeps the net greek within the contract's band."""
        width = bands.zakamouline_half_width(
            scene.cost_rate, scene.dollar_gamma, self.contract.risk_aversion, time, volatility
        )
        if all(hedge.instrument.linear for hedge in self.contract.hedges):
            return width
        columns = list(width.unbind(-1))
        for k, hedge in enumerate(self.contract.hedges):
            if not hedge.instrument.linear:
                columns[k] = (self.contract.greek_band / scene.greeks[k, k]).expand_as(columns[k])
        return torch.stack(columns, -1)

    def _cases(self, scene: Scene, asset: int, stretch: Tensor) -> tuple[Tensor, ...]:
        """(P,) each: the claims' delta at Zakamouline's volatility, and a standard deviation down and up.

        The deviation is that to the next expiry, one at most.
        """
        spot, step = scene.views[asset].quote.spot, self._deviation(scene, asset).clamp(max=1)
        spots = torch.stack([spot, spot * torch.exp(-step), spot * torch.exp(step)], -1)
        stretches = torch.stack([stretch, torch.ones_like(spot), torch.ones_like(spot)], -1)
        return scene.deltas(asset, spots, stretches).unbind(-1)

    def _deviation(self, scene: Scene, asset: int) -> Tensor:
        view = scene.views[asset]
        return view.quote.implied_volatility * view.years(scene.exposures[asset].next_bars).clamp(min=view.bar).sqrt()

    def _shared(self, scene: Scene, asset: int, forecast: Tensor, down: Tensor, up: Tensor) -> list[Tensor]:
        """One asset's features (P,), the same for all hedgers: BOOK, MARKET and the regimes."""
        view, exposure, base = scene.views[asset], scene.exposures[asset], scene.book.base[asset]
        quote, calibration = view.quote, self.calibrations[asset]
        spot, implied, lasting = quote.spot, quote.implied_volatility, scene.times[asset]
        deviation = self._deviation(scene, asset)
        return [
            *(2 * delta / base for delta in (exposure.delta, down, up)),
            2 * spot * exposure.gamma * deviation / base,
            2 * exposure.vega / (spot * math.sqrt(REFERENCE_LIFE)) / base,
            deviation / implied / math.sqrt(REFERENCE_LIFE),
            (lasting / REFERENCE_LIFE).sqrt(),
            2 * torch.log(forecast / implied),
            torch.log(self.filters[asset].spot_variance(view.memory).sqrt() / implied),
            4 * torch.log(implied / calibration.reference_volatility),
            2 * quote.congestion - 1,
            (quote.funding_rate * lasting.sqrt() / implied * 4).clamp(-WIDEST, WIDEST),
            *(2 * view.memory.probability[:, 1:] - 1).unbind(-1),
        ]

    def _dials(self, scene: Scene) -> list[Tensor]:
        """(P,) each: where the task's dials stand."""
        spot = scene.views[0].quote.spot
        return [torch.full_like(spot, dial.place) for dial in self.contract.dials.values()]

    def _time_left(self, scene: Scene) -> Tensor:
        """(P,) of the book's life."""
        return (scene.book.bars_left * (self.contract.bar / REFERENCE_LIFE)).sqrt()

    def _kept(self, scene: Scene) -> list[Tensor]:
        """Each hedger's features (P, G) of what is kept of earlier listings, in the units of BOOK: gamma and vega."""
        rows = []
        for asset, kept in enumerate(scene.kept):
            if kept is not None:
                spot, base = scene.views[asset].quote.spot[:, None], scene.book.base[asset][:, None]
                rows.append(2 * spot * kept.gamma * self._deviation(scene, asset)[:, None] / base)
                rows.append(2 * kept.vega / (spot * math.sqrt(REFERENCE_LIFE)) / base)
        return rows

    def _names(self) -> tuple[str, ...]:
        """Shared features of each asset, then each instrument's own."""
        names = []
        for a, calibration in enumerate(self.calibrations):
            own = (*BOOK, *MARKET, *(f"regime_{k}" for k in range(1, len(calibration.regimes.omega))))
            names += [f"{name}_{a}" if len(self.calibrations) > 1 else name for name in own]
        names += ["time_left"] if self.contract.ends_early else []
        names += self.contract.dials
        rolled = sorted({self.contract.hedges[k].instrument.asset for k in self.contract.rolling})
        names += [f"kept_{greek}_{asset}" for asset in rolled for greek in ("gamma", "vega")]
        for k in range(len(self.contract.hedges)):
            suffix = f"_{k}" if len(self.contract.hedges) > 1 else ""
            names += [f"hedge_less_centre{suffix}", f"half_width{suffix}"]
        return (*names, "liquidation_distance") if self.contract.margin.mode != "none" else tuple(names)


def _own(hedge: Tensor, centre: Tensor, half_width: Tensor, cushion: Tensor | None) -> list[Tensor]:
    """Each hedger's features (P, G): place in the band, its width, the distance to liquidation."""
    place = ((hedge - centre) / half_width / 2).clamp(-WIDEST, WIDEST)
    width = (torch.log(half_width) + 3).expand_as(place)
    rows = [row for pair in zip(place.unbind(-1), width.unbind(-1), strict=True) for row in pair]
    return rows if cushion is None else [*rows, 2 * cushion - 1]


def _assembled(shared: list[Tensor], own: list[Tensor]) -> Tensor:
    """(P, G, F) of the features `shared` by a path's hedgers (P,) and each hedger's `own` (P, G).

    Laid out in memory feature by feature.
    """
    return torch.stack([*(row[:, None].expand_as(own[0]) for row in shared), *own]).permute(1, 2, 0)
