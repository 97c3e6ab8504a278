"""What persons may tell a hedger: recorded in its inbox before the answer leaves, with who and why."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Response
from fastapi import Path as InPath
from pydantic import BaseModel, Field, StringConstraints

from serve.api.access import BEARER, REFUSALS, Problem, admitted
from serve.api.guard import Guard
from serve.api.tokens import Scope
from serve.api.views import TIME
from serve.clock import SECOND, RealClock
from serve.events import CollateralMoved, Operator, TargetSet
from serve.inbox import Inbox, Instruction
from serve.instructions import OUTSIDE

PATIENCE, LOOK = 5 * SECOND, SECOND // 20  # how long an answer is waited for, and how often it is looked for
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00]*$")]
Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]

Share = Annotated[float, Field(ge=0, le=1.5)]
Threshold = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Command(BaseModel):
    why: Text = Field(description="Kept in the journal, with the name of the token.")
    subject: Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")] = Field(
        default="",
        description="The breaker to acknowledge, the soft limit to lift, the folder of the model to promote; "
        "`close` for a flatten that unwinds every leg.",
    )
    id: Id | None = Field(default=None, description="Yours, so that one that is sent twice is carried out once.")


class Safer(Command):
    action: Literal["halt", "flatten", "fallback"]


class Freer(Command):
    action: Literal["resume", "acknowledge", "override", "promote", "rollback"]


class Target(BaseModel):
    """What is not named stays as it is."""

    why: Text
    asset: Text = Field(description="As the settings name it.")
    delta: Finite | None = Field(default=None, description="Net, base units.")
    gamma: Finite | None = Field(default=None, description="Net, base units per 1 % of spot.")
    vega: Finite | None = Field(default=None, description="Net, quote currency per volatility point.")
    hedge_ratio: Share | None = Field(default=None, description="Of the book's greeks that is hedged.")
    above: Threshold | None = Field(default=None, description="Base units of delta left untraded.")
    below: Threshold | None = None
    id: Id | None = None


class Transfer(BaseModel):
    why: Text
    account: Text = Field(description="Margin account that it goes to, as a proposal names it.")
    amount: float = Field(gt=0, le=1e12, description="Quote currency.")
    source: Text = Field(default=OUTSIDE, description="Another account, or outside.")
    expected: int = Field(ge=0, le=2**53, description="When it should be there. " + TIME)
    id: Id | None = None


class Answer(BaseModel):
    id: str
    answer: str | None = Field(description="`taken`, or why it was refused; none while no hedger has taken it.")


LATER: dict[int | str, dict[str, Any]] = {
    202: {"model": Answer, "description": "Recorded; no hedger has taken it yet. A halt holds already."},
    409: {"model": Problem, "description": "The id was told for something else; nothing is recorded."},
}


def tell(inbox: Inbox, told: Instruction, response: Response) -> Answer:
    """Recorded, and its answer, if one came soon."""
    name = inbox.tell(told)
    answer = _awaited(inbox, name)
    response.status_code = 202 if answer is None else 200
    return Answer(id=name, answer=answer)


def routes(inbox: Inbox, guard: Guard) -> APIRouter:
    api = APIRouter(responses=REFUSALS, dependencies=[Depends(BEARER)])
    operator = Annotated[str, Depends(admitted(guard, Scope.OPERATE))]
    releaser = Annotated[str, Depends(admitted(guard, Scope.RELEASE))]
    reader = Depends(admitted(guard, Scope.READ))

    @api.post("/v1/safer", responses=LATER)
    def safer(command: Safer, who: operator, response: Response) -> Answer:
        """Make it do less: halt it, let the analytic hedge decide, or neutralise (`close`: unwind) the book."""
        return tell(inbox, _operator(command, who), response)

    @api.post("/v1/freer", responses=LATER)
    def freer(command: Freer, who: releaser, response: Response) -> Answer:
        """Let it do more. A halt is left in two steps: the first resume lets only orders through that shrink risk."""
        return tell(inbox, _operator(command, who), response)

    @api.post("/v1/target", responses=LATER)
    def target(target: Target, who: releaser, response: Response) -> Answer:
        """Steer one asset's book and hedges together to other greeks, from here on."""
        t, now = target, RealClock().now()
        told = TargetSet(
            now, t.asset, t.delta, t.gamma, t.vega, t.hedge_ratio, t.above, t.below, who, t.why, t.id or ""
        )
        return tell(inbox, told, response)

    @api.post("/v1/transfer", responses=LATER)
    def transfer(transfer: Transfer, who: releaser, response: Response) -> Answer:
        """Record collateral that you have sent to a margin account: the hedger moves none itself."""
        t, now = transfer, RealClock().now()
        return tell(
            inbox,
            CollateralMoved(now, t.account, Decimal(repr(t.amount)), t.source, t.expected, who, t.why, t.id or ""),
            response,
        )

    @api.get("/v1/commands/{name}", dependencies=[reader], responses={404: {"model": Problem}})
    def answer(name: Annotated[str, InPath(pattern=r"^[A-Za-z0-9_-]{1,64}$")]) -> Answer:
        """What became of one that was told."""
        return Answer(id=name, answer=inbox.answered(name))

    return api


def _operator(command: Safer | Freer, who: str) -> Operator:
    return Operator(RealClock().now(), command.action, who, command.why, command.subject, command.id or "")


def _awaited(inbox: Inbox, name: str) -> str | None:
    clock = RealClock()
    until = clock.now() + PATIENCE
    while (answer := inbox.answered(name)) is None and clock.now() < until:
        clock.wait_until(clock.now() + LOOK)
    return answer
