"""What a market order pays: the one fill model of simulation and paper trading."""

from __future__ import annotations

from torch import Tensor

from envs.types import Quote

SMOOTH = 1e-12  # keeps the square root differentiable where nothing is traded


def slippage(quote: Quote, trade: Tensor, impact: float) -> Tensor:
    """Fraction of the mark lost to the spread and to square-root impact against the depth at hand.

    `trade` (P, G) base units, signed; returns (P, G). Square root: Tóth et al. (2011), Phys. Rev. X 1, 021006.
    """
    notional = trade.abs() * quote.mark[:, None]
    return quote.half_spread[:, None] + impact * (notional / quote.depth[:, None] + SMOOTH).sqrt()


def fill_price(quote: Quote, trade: Tensor, impact: float) -> Tensor:
    """Average price (P, G) at which a market order for `trade` base units fills."""
    return quote.mark[:, None] * (1 + trade.sign() * slippage(quote, trade, impact))


def fee(price: Tensor, trade: Tensor, fee_rate: float) -> Tensor:
    """Taker fee (P, G) in quote currency."""
    return fee_rate * trade.abs() * price
