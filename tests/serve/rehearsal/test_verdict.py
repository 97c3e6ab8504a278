"""The verdict sees each thing that may go wrong, and nothing where all is well."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from serve import config as configs
from serve.commands import SubmitOrder
from serve.events import Cancelled, Filled, QuoteEvent, Rejected, Started
from serve.rehearsal.verdict import Heard, rested, violations

CONFIG = Path(__file__).parents[3] / "configs" / "deribit.toml"
SECOND = 1_000
QUOTE = QuoteEvent(0, "BTC", 0, *[60_000.0] * 4, 1e-4, 1e6, 0.0, 0.6, 0.0, 0.0)


def order(number: int, units: str, time: int = 0) -> SubmitOrder:
    return SubmitOrder(time, f"deribit-{number:06d}", "BTC-PERP", Decimal(units), Decimal(60_000), time, False)


def journal() -> Heard:
    """Two orders: one filled, one cancelled after a part."""
    found = Heard(configs.load(CONFIG))
    started = Started(0, "", "", "", "", venue=json.dumps({"instance": "abcde"}))
    found.told(QUOTE, ())
    found.told(started, (order(1, "2"), order(2, "-1", SECOND)))
    for _ in range(2):  # a fill that is told twice counts once
        found.told(Filled(1, "deribit-000001", "t1", Decimal(2), Decimal(60_000), Decimal(0)), ())
    found.told(Filled(2, "deribit-000002", "t2", Decimal("-0.4"), Decimal(60_000), Decimal(0)), ())
    found.told(Cancelled(3, "deribit-000002"), ())
    return found


def statement(found: Heard) -> dict[str, Any]:
    line = {"instrument": "BTC-PERP", "status": "filled"}
    return {
        "orders": [
            line | {"id": 1, "client_id": found.spelled("deribit-000001"), "units": "2", "filled": "2"},
            line | {"id": 2, "client_id": found.spelled("deribit-000002"), "units": "-1", "filled": "0.4"},
        ],
        "positions": {"BTC-PERP": "1.6"},
        "reserved": "0",
        "conserved": True,
    }


def test_all_is_well() -> None:
    found = journal()
    assert violations(found, statement(found)) == []


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("orders", 0, "status"), "open", ["resting"]),
        (("orders", 1, "client_id"), "deribit.abcde-000001", ["doubled", "lost", "lost"]),
        (("orders", 1, "client_id"), "deribit.00000-000002", ["lost", "foreign"]),
        (("orders", 1, "filled"), "0.5", ["lost"]),
        (("positions", "BTC-PERP"), "1.7", ["position"]),
        (("positions",), {"BTC-PERP": "-1.6"}, ["position"]),
        (("reserved",), "3", ["reserved"]),
        (("conserved",), False, ["conserved"]),
    ],
)
def test_what_does_not_add_up_is_said(path: tuple[Any, ...], value: Any, words: list[str]) -> None:
    found = journal()
    told = deepcopy(statement(found))
    place = told
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    assert [each.split(":")[0] for each in violations(found, told)] == words


def test_an_order_that_nobody_knows_of_is_lost() -> None:
    found = journal()
    found.told(Cancelled(4, "deribit-000001"), (order(3, "1", 2 * SECOND),))
    assert [each.split(":")[0] for each in violations(found, statement(found))] == ["lost"]


def test_of_those_that_were_sent_to_rest_some_must_have() -> None:
    """One that was refused has not, nor one that takes."""
    found = journal()
    assert violations(found, statement(found)) == [], "a day under strain rests nothing"
    found.told(Rejected(5, "deribit-000003", "no"), (replace(order(3, "1", 2 * SECOND), post_only=True),))
    assert [rested(found, statement(found)), *violations(found, statement(found))][0] == 0
    assert [each.split(":")[0] for each in violations(found, statement(found))] == ["rested"]
    found.sent["deribit-000002"] = replace(found.sent["deribit-000002"], post_only=True)
    assert rested(found, statement(found)) == 1
    assert violations(found, statement(found)) == []


def test_limits() -> None:
    found = Heard(configs.load(CONFIG))
    found.told(QUOTE, ())
    limits = found.config.limits
    hard = limits.legs["BTC-PERP"].position.hard
    large = limits.legs["BTC-PERP"].order.hard + 1
    found.told(Cancelled(0, ""), (order(1, str(large)),))
    found.told(Filled(1, "deribit-000001", "t", hard + 1, Decimal(60_000), Decimal(0)), ())
    found.told(Cancelled(0, ""), tuple(order(n, "0.001", SECOND) for n in range(2, 3 + limits.max_messages)))
    said = " ".join(found.beyond)
    assert "deribit-000001 is of" in said
    assert "worth" in said
    assert f"position of {hard + 1}" in said
    assert f"{limits.max_messages + 1} orders within" in said
