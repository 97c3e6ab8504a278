"""What a route asks of whoever calls it, as FastAPI's dependency, and how its refusals are documented."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.security import HTTPBearer
from pydantic import BaseModel

from serve.api.guard import Guard
from serve.api.tokens import Scope

BEARER = HTTPBearer(auto_error=False, description="A token that `rehedge token add` gave: NAME.SECRET.")


class Problem(BaseModel):
    detail: str


REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "No token, or a wrong one."},
    403: {"model": Problem, "description": "The token's scope does not reach."},
    429: {"model": Problem, "description": "Too many requests, or too many wrong tokens."},
    503: {"model": Problem, "description": "The journal or the inbox does not answer."},
}


def admitted(guard: Guard, scope: Scope) -> Callable[[Request], str]:
    """The name of whoever asks. Raises Denial."""

    def check(request: Request) -> str:
        address = request.client.host if request.client is not None else "nowhere"
        return guard.admitted(request.headers.get("authorization"), address, scope)

    return check
