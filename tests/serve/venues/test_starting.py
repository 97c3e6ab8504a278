"""A start ends in one line whatever the exchange answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envs.types import BadInput
from serve.errors import StartRefused
from serve.rehearsal import server
from serve.rehearsal.protocols import Reply, hyperliquid
from serve.venues.checking import Unreached, _skew, checked
from serve.venues.connection import Connection
from serve.venues.lanes import Lanes
from tests.serve.dialects.house import HOUR, START
from tests.serve.venues.desk import settings
from tests.serve.venues.test_opening import apart, served

HTML = "<html>"  # a page of it
NULL = {"jsonrpc": "2.0", "id": 1, "result": None}
UNPRICED = [[START - hour * HOUR, "1", "1", "1", None, "1"] for hour in (3, 2, 1)]
KEY = "deribit cannot be asked what the key may do: "
CANDLES = "the exchange's candles of BTC cannot be read: "
Answers = Callable[[str, Any], None]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """What is asked for at such a path is answered so, with status 200."""
    answered = server.answered

    def answer(part: str, body: Any) -> None:
        def own(request: Any, reply: Reply, fate: str | None) -> Any:
            if part not in request.path:
                return answered(request, reply, fate)
            return answered(request, Reply(body), "reply_html" if body == HTML else None)

        monkeypatch.setattr(server, "answered", own)

    return answer


@pytest.mark.parametrize(
    ("name", "path", "body", "words"),
    [
        ("deribit", "public/auth", HTML, KEY),
        ("deribit", "public/auth", NULL, KEY),
        ("binance_usdm", "klines", HTML, CANDLES),
        ("binance_usdm", "klines", UNPRICED, CANDLES),
    ],
)
def test_a_reply_that_is_none_refuses_the_start_in_one_line(
    tmp_path: Path, model: Path, answers: Answers, name: str, path: str, body: Any, words: str
) -> None:
    answers(path, body)
    with apart(tmp_path, name) as own:
        with pytest.raises(StartRefused, match=words) as refused:
            served(tmp_path, own, model, {"name": name})
        assert "\n" not in str(refused.value)


def test_the_doctor_says_that_no_time_is_told(tmp_path: Path, answers: Answers) -> None:
    answers("get_time", NULL)
    with apart(tmp_path) as own:
        lanes, line = Lanes(), Connection.of(settings(own.address))
        lanes.ask(checked(line))
        with pytest.raises(Unreached, match="deribit does not tell its time"):
            lanes.ask(_skew(line))
        lanes.close()


def test_what_kind_of_account_it_is_may_be_told_by_a_bare_string(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ccxt itself leaves its quotes on, as it reads objects and lists alone."""
    kinds = {**hyperliquid.INFO, "userAbstraction": lambda asked: "unifiedAccount"}
    with apart(tmp_path, "hyperliquid") as own:
        lanes, line = Lanes(), Connection.of(settings(own.address, name="hyperliquid"))
        lanes.ask(checked(line))
        monkeypatch.setattr(hyperliquid, "INFO", kinds)
        with pytest.raises(BadInput, match="is of the kind unifiedAccount;"):
            lanes.ask(checked(line))
        lanes.close()
