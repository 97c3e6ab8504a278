"""What other systems may tell of the book to be hedged: its trades, settlements and funding."""

from decimal import Decimal
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field, StringConstraints

from serve.api.access import BEARER, REFUSALS, admitted
from serve.api.guard import Guard
from serve.api.telling import LATER, Answer, Id, Text, tell
from serve.api.tokens import Scope
from serve.api.views import TIME
from serve.clock import RealClock
from serve.events import BookFunded, BookSettled, BookTraded
from serve.events import Holding as Held
from serve.inbox import Inbox

Amount = Annotated[str, StringConstraints(pattern=r"^-?[0-9]{1,18}(\.[0-9]{1,12})?$")]  # decimal text, as journalled
Price = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Words = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")]


class Holding(BaseModel):
    """What its kind does not have is left out."""

    id: Text
    asset: Text = Field(description="As the settings name it.")
    kind: Literal["option", "spot", "perpetual", "future", "liquidity_position"]
    units: Amount = Field(description="Base units; short is negative.")
    expiry: int | None = Field(default=None, ge=0, le=2**53, description="Of an option or a dated future. " + TIME)
    right: Literal["call", "put"] | None = None
    strike: Price | None = None
    style: Literal["european", "american"] = "european"
    settlement: Literal["cash", "coin"] = "cash"
    lower: Price | None = Field(default=None, description="Of a liquidity position's range.")
    upper: Price | None = None
    entry: Price | None = Field(default=None, description="Spot at which a unit of it is worth one base unit.")


class Change(BaseModel):
    why: Words = Field(default="", description="Kept in the journal, with the name of the token.")
    id: Id | None = Field(default=None, description="Yours, so that one that is sent twice is carried out once.")


class Traded(Change):
    holding: Holding = Field(description="The units are added to those of the same id.")
    premium: Amount = Field(description="Cash received, quote currency; paid is negative.")
    trade: Words = Field(default="", description="Its id at the desk: it counts once, whoever tells it.")


class Settled(Change):
    holding: Text = Field(description="Its id: it expired, was exercised or was withdrawn, and is in the book no more.")
    price: Price = Field(description="Of the index at settlement.")
    cash: Amount = Field(description="Received, quote currency; paid is negative.")


class Funded(Change):
    holding: Text
    cash: Amount = Field(description="Received, quote currency; paid is negative.")


def routes(inbox: Inbox, guard: Guard) -> APIRouter:
    api = APIRouter(prefix="/v1/book", responses=REFUSALS, dependencies=[Depends(BEARER)])
    releaser = Annotated[str, Depends(admitted(guard, Scope.RELEASE))]

    @api.post("/traded", responses=LATER)
    def traded(change: Traded, who: releaser, response: Response) -> Answer:
        """The desk traded: the holding is new in the book, or these units are added to it."""
        c, held = change, Held(**change.holding.model_dump() | {"units": Decimal(change.holding.units)})
        now = RealClock().now()
        told = BookTraded(now, held, Decimal(c.premium), trade=c.trade, who=who, why=c.why, command=c.id or "")
        return tell(inbox, told, response)

    @api.post("/settled", responses=LATER)
    def settled(change: Settled, who: releaser, response: Response) -> Answer:
        """A holding is in the book no more."""
        c, now = change, RealClock().now()
        told = BookSettled(now, c.holding, c.price, Decimal(c.cash), who=who, why=c.why, command=c.id or "")
        return tell(inbox, told, response)

    @api.post("/funded", responses=LATER)
    def funded(change: Funded, who: releaser, response: Response) -> Answer:
        """A holding earned, or cost, what it stays."""
        c, now = change, RealClock().now()
        return tell(
            inbox, BookFunded(now, c.holding, Decimal(c.cash), who=who, why=c.why, command=c.id or ""), response
        )

    return api
