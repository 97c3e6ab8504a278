"""ccxt: imported here alone, and only where an exchange is served."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import ccxt  # type: ignore[import-untyped]
import ccxt.pro  # type: ignore[import-untyped]

OrderNotFound = ccxt.OrderNotFound
InvalidOrder = ccxt.InvalidOrder
DuplicateOrderId = ccxt.DuplicateOrderId
AuthenticationError = ccxt.AuthenticationError
OperationRejected = ccxt.OperationRejected
NetworkError = ccxt.NetworkError
RequestTimeout = ccxt.RequestTimeout
CcxtError = ccxt.BaseError
Heard = Callable[[Mapping[str, Any]], None]
logging.getLogger("ccxt").setLevel(logging.WARNING)  # below that it logs headers and bodies

JSON = 5  # of what ccxt's `handle_errors` is told after the status: the reply, None where it could not be read

_DEFINITIVE = (
    ccxt.InsufficientFunds,
    ccxt.InvalidOrder,
    ccxt.BadRequest,
    ccxt.OperationRejected,
    ccxt.AuthenticationError,
    ccxt.ArgumentsRequired,
    ccxt.NotSupported,
)
_UNSURE = (ccxt.OrderNotFound, ccxt.DuplicateOrderId)  # the latter: the first one arrived


def rejected(error: Exception) -> bool:
    """Whether an order whose sending raised this is definitely not at the exchange; of all else it is not known."""
    return isinstance(error, _DEFINITIVE) and not isinstance(error, _UNSURE)


def made(name: str, settings: Mapping[str, Any], heard: Heard | None = None, own: type | None = None) -> Any:
    """A ccxt.pro exchange that tells `heard` of every message of its websockets before it reads it itself.

    It sends every request once: aiohttp sends a GET again when the connection is lost under it, and there are exchanges
    where that is an order. A reply that is no JSON raises ccxt.BadResponse: some of ccxt's calls read a page of HTML as
    an empty list. `own`: a class whose methods take the place of ccxt's.
    """

    class Hooked(*((own,) if own else ()), getattr(ccxt.pro, name)):  # type: ignore[misc]
        def handle_message(self, client: Any, message: Any) -> Any:
            if heard is not None and isinstance(message, Mapping):
                heard(message)
            return super().handle_message(client, message)

        def parse_json(self, http_response: str) -> Any:
            """ccxt's own reads objects and lists alone, and Hyperliquid answers with a bare string too."""
            with suppress(ValueError):
                return self.on_json_response(http_response)

        def handle_errors(self, code: int, *told: Any) -> Any:
            found = super().handle_errors(code, *told)
            if told[JSON] is None and code < 300:
                raise ccxt.BadResponse(f"{name}: a reply that is no JSON")
            return found

        def open(self, lazy: bool = False) -> None:
            super().open(lazy)
            self.session._retry_connection = False

    Hooked.__name__ = name
    return Hooked(dict(settings))
