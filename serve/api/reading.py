"""What may be read: the state at hand, what was decided and why, the journal, the stream, metrics."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from serve import codec
from serve.api.access import BEARER, REFUSALS, admitted
from serve.api.guard import Guard
from serve.api.metrics import CONTENT_TYPE, exposed
from serve.api.stream import Broadcast, Line, Picture, line
from serve.api.tokens import Scope
from serve.commands import Alert, Decision, Denied, Proposal, Transition
from serve.events import Filled
from serve.mirror import LATEST, Kept, Point, Record
from serve.regimes import regimes_of

PAGE = 500  # entries of the journal at once
Last = Annotated[int, Query(ge=1, le=LATEST, description="No more than so many, the latest.")]


EVENTS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}
RECORDS: dict[str, tuple[type[Record], str]] = {
    "decisions": (Decision, "What was decided, and why, with the hashes of model, settings, limits and observation."),
    "transitions": (Transition, "How breakers moved the state."),
    "alerts": (Alert, "What a person should know."),
    "denied": (Denied, "What decisions asked for and limits did not let out."),
    "proposals": (Proposal, "Collateral that a person should move, and why."),
    "fills": (Filled, "What the venue traded."),
}


class Recorded(BaseModel):
    line: Line
    record: dict[str, Any] = Field(description="As the journal holds it.")


class Entry(BaseModel):
    number: int
    body: dict[str, Any]


class Course(BaseModel):
    """Columns of the bars since the start; thinned out evenly where they are many."""

    assets: list[str]
    regimes: dict[str, tuple[str, ...]] = Field(description="By asset, as the points list them.")
    points: list[Point]


def routes(broadcast: Broadcast, guard: Guard) -> APIRouter:
    may_read = [Depends(admitted(guard, Scope.READ)), Depends(BEARER)]
    api = APIRouter(dependencies=may_read, responses=REFUSALS)
    mirror = broadcast.mirror

    @api.get("/v1/state")
    def state() -> Picture:
        """How the hedger stands: risk state, book, greeks, limits, orders, breakers, profit, and its latest lines."""
        return broadcast.shown().picture

    @api.get("/v1/stream", response_class=StreamingResponse, responses=EVENTS)
    async def stream() -> StreamingResponse:
        """`/v1/state` whenever it changes, as server-sent events."""
        return StreamingResponse(broadcast.events(), media_type="text/event-stream")

    for name, (kind, about) in RECORDS.items():
        read = partial(_recorded, mirror.records[kind])
        api.add_api_route(f"/v1/{name}", _reader(read), summary=name.capitalize(), description=about)

    @api.get("/v1/course")
    def course() -> Course:
        """Price, volatility, intensity, regimes, exposure and profit since the start."""
        market = None if mirror.setup is None else mirror.setup.market
        named = {} if market is None else {name: regimes_of(market, name) for name in market.assets}
        return Course(assets=mirror.assets, regimes=named, points=list(mirror.curve))

    @api.get("/v1/journal")
    def journal(
        after: Annotated[
            int | None, Query(ge=0, le=2**62, description="Number of the entry before the first; without it, the tail.")
        ] = None,
        most: Annotated[int, Query(ge=1, le=PAGE)] = 100,
    ) -> list[Entry]:
        """Entries as they are stored."""
        found = islice(mirror.journal.read(max(0, mirror.entries - most) if after is None else after), most)
        return [Entry(number=each.sequence, body=json.loads(each.body)) for each in found]

    @api.get("/metrics", response_class=Response)
    def metrics() -> Response:
        """For Prometheus."""
        return Response(exposed(broadcast), media_type=CONTENT_TYPE)

    return api


def _reader(read: Callable[[int], list[Recorded]]) -> Callable[..., list[Recorded]]:
    def latest(last: Last = 20) -> list[Recorded]:
        return read(last)

    return latest


def _recorded(records: Iterable[Kept], last: int) -> list[Recorded]:
    return [Recorded(line=line(each), record=_plain(each.record)) for each in list(records)[-last:]]


def _plain(record: Record) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(codec.encode(record))
    return plain
