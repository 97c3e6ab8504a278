"""The one builder of observations, for simulation and live alike: dimensionless, from quote, memory and book."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from envs import bands, shocks
from envs.calibration import Calibration
from envs.contract import Contract
from envs.pricing import black_scholes
from envs.types import BadInput, Quote
from envs.volatility.memory import Filter, Memory

VERSION = 2  # of the formulae below, raised with every change of one; a card's hash covers it
REFERENCE_LIFE = 30 / 365  # years
WIDEST = 4.0  # clamp of the standardised features


@dataclass(frozen=True)
class Option:
    """The short option of each path."""

    strike: Tensor  # (P,) quote currency
    units: Tensor  # (P,) base units sold
    bars_left: Tensor  # (P,) int64


@dataclass(frozen=True)
class Observation:
    """What an agent may know, per unit of the option sold.

    `features` is for the learned policy, the analytics after it are for the classical hedges.
    """

    features: Tensor  # (P, G, F)
    hedge: Tensor  # (P, G) perpetual held, per unit of option
    spot: Tensor  # (P,)
    strike: Tensor  # (P,)
    time_to_expiry: Tensor  # (P,) years, at least one bar
    implied_volatility: Tensor  # (P,) per √year
    forecast_volatility: Tensor  # (P,) filtered, averaged to expiry, per √year
    cost_rate: Tensor  # (P,) fee and half-spread, one way
    delta: Tensor  # (P,) Black-Scholes at the implied volatility
    dollar_gamma: Tensor  # (P,) S·Γ, likewise
    band_delta: Tensor  # (P,) centre of the tuned Zakamouline band
    half_width: Tensor  # (P,) of the tuned Zakamouline band

    def of(self, hedger: int) -> Observation:
        """What one `hedger` of the G sees."""
        own = slice(hedger, hedger + 1)
        return replace(self, features=self.features[:, own], hedge=self.hedge[:, own])


class Observer:
    """Builds observations of a short call hedged with the perpetual; never sees more than quotes left behind."""

    def __init__(self, calibration: Calibration, contract: Contract, filter: Filter) -> None:
        if contract.bar_hours != calibration.source.bar_hours:
            raise BadInput(
                f"contract.bar_hours is {contract.bar_hours:g}, the market was calibrated on bars of "
                f"{calibration.source.bar_hours:g} h; set both alike"
            )
        self.calibration, self.contract, self.filter = calibration, contract, filter
        self.names = (
            "log_moneyness",
            "root_time",
            "delta",
            "hedge_less_centre",
            "half_width",
            "forecast_over_implied",
            "spot_over_implied",
            "implied_over_reference",
            *(f"regime_{k}" for k in range(1, len(calibration.regimes.omega))),
            "stress",
            "funding",
        )

    @property
    def sha256(self) -> str:
        """Hash of the features, their order and every parameter that enters them."""
        parameters = {
            "version": VERSION,
            "names": self.names,
            "bar_hours": self.calibration.source.bar_hours,
            "calibration": self.calibration.model_dump(mode="json", exclude={"source"}),
            "contract": self.contract.model_dump(mode="json"),
        }
        return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()

    def observe(self, quote: Quote, memory: Memory, option: Option, units: Tensor) -> Observation:
        """The observation with `units` (P, G) of the perpetual held."""
        tau = option.bars_left.to(quote.spot.dtype) * self.contract.bar
        implied = quote.implied_volatility
        forecast = self.filter.term_variance(memory, option.bars_left.clamp(min=1)).sqrt()
        delta = black_scholes.call_delta(quote.spot, option.strike, tau, implied)
        dollar_gamma = quote.spot * black_scholes.gamma(quote.spot, option.strike, tau, implied)
        cost_rate = self.contract.fee_rate + quote.half_spread
        lasting = tau.clamp(min=self.contract.bar)
        arguments = (cost_rate, dollar_gamma, self.contract.risk_aversion, lasting, implied)
        half_width = bands.zakamouline_half_width(*arguments).clamp(max=1.0)
        band_delta = black_scholes.call_delta(
            quote.spot, option.strike, lasting, bands.zakamouline_volatility(*arguments)
        )
        hedge = units / option.units[:, None]
        shared = [
            (torch.log(quote.spot / option.strike) / (implied * lasting.sqrt())).clamp(-WIDEST, WIDEST),
            (tau / REFERENCE_LIFE).sqrt(),
            2 * delta - 1,
            torch.log(half_width) + 3,
            2 * torch.log(forecast / implied),
            torch.log(self.filter.spot_variance(memory).sqrt() / implied),
            4 * torch.log(implied / self.calibration.reference_volatility),
            *(2 * memory.probability[:, 1:] - 1).unbind(-1),
            2 * shocks.stress(self.calibration.liquidity, memory.excitement) - 1,
            (quote.funding_rate * lasting.sqrt() / implied * 4).clamp(-WIDEST, WIDEST),
        ]
        own = ((hedge - band_delta[:, None]) / half_width[:, None] / 2).clamp(-WIDEST, WIDEST)
        return Observation(
            features=_assembled(shared, own, place=3),
            hedge=hedge,
            spot=quote.spot,
            strike=option.strike,
            time_to_expiry=lasting,
            implied_volatility=implied,
            forecast_volatility=forecast,
            cost_rate=cost_rate,
            delta=delta,
            dollar_gamma=dollar_gamma,
            band_delta=band_delta,
            half_width=half_width,
        )


def _assembled(shared: list[Tensor], own: Tensor, place: int) -> Tensor:
    """(P, G, F) of the features shared by a path's books, with each book's `own` (P, G) at `place`."""
    common = torch.stack(shared, dim=-1)[:, None, :].expand(-1, own.shape[1], -1)
    return torch.cat([common[..., :place], own[..., None], common[..., place:]], dim=-1)
