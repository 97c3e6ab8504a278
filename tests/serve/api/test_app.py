"""The API over HTTP: what is read is the journal's, and what is told reaches the inbox with who and why."""

from __future__ import annotations

import asyncio
import json
from threading import Thread

import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

from serve.api.app import DASHBOARD, PLOTLY
from serve.api.guard import GUESSES
from serve.commands import Decision
from serve.events import Operator
from serve.inbox import Instruction
from tests.serve.api.conftest import Beside
from tests.serve.support import START

READS = ("state", "decisions", "transitions", "alerts", "denied", "fills", "course", "journal", "commands/some")
WRITES = (
    ("/v1/safer", {"action": "halt", "why": "drill"}, "operate"),
    ("/v1/freer", {"action": "resume", "why": "drill"}, "release"),
    ("/v1/target", {"asset": "BTC", "why": "drill", "delta": 2.5}, "release"),
    (
        "/v1/book/traded",
        {"holding": {"id": "c-1", "asset": "BTC", "kind": "spot", "units": "-2"}, "premium": "90000", "why": "drill"},
        "release",
    ),
    ("/v1/book/settled", {"holding": "c-1", "price": 45e3, "cash": "-5", "why": "drill"}, "release"),
    ("/v1/book/funded", {"holding": "c-1", "cash": "1.5", "why": "drill"}, "release"),
    ("/v1/transfer", {"account": "BTC-PERP", "amount": 2500.5, "expected": START, "why": "drill"}, "release"),
)


def test_the_state_is_the_hedgers(shown: Beside) -> None:
    found, state = shown.get("/v1/state"), shown.mirror.state
    assert isinstance(found, dict)
    assert state is not None
    now = found["snapshot"]
    assert (now["state"], now["time"], now["entries"]) == (state.risk.name, state.time, shown.journal.head[0])
    assert now["positions"][0]["units"] == str(state.ledger.position("BTC-PERP"))
    assert {each["name"] for each in now["limits"]} == {
        "position:BTC-PERP", "delta:BTC", "gamma:BTC", "vega:BTC", "stress_loss", "notional",
    }  # fmt: skip
    band, leg = now["bands"][0], shown.mirror.records[Decision][-1].record.legs[0]  # type: ignore[union-attr]
    assert band["upper"] - band["lower"] == pytest.approx((leg.upper - leg.lower) * 10, rel=0.2), "10 coins are sold"
    assert any("price_jump: ACTIVE → REDUCING" in line["text"] for line in found["story"])


def test_what_is_recorded_is_told_with_its_words(shown: Beside) -> None:
    for name, kind in (("decisions", "Decision"), ("transitions", "Transition"), ("fills", "Filled")):
        rows = shown.get(f"/v1/{name}?last=2")
        assert isinstance(rows, list)
        assert {row["record"]["type"] for row in rows} == {kind}
        assert all(row["line"]["text"].endswith(".") for row in rows)
    entries = shown.get("/v1/journal?after=5&most=3")
    assert isinstance(entries, list)
    assert [each["number"] for each in entries] == [6, 7, 8]


@pytest.mark.parametrize("path", READS)
def test_nothing_is_read_without_a_token(shown: Beside, path: str) -> None:
    assert shown.client.get(f"/v1/{path}").status_code == 401
    assert shown.client.get(f"/v1/{path}", headers=shown.bearing("read")).status_code == 200
    assert shown.client.get("/metrics").status_code == 401


@pytest.mark.parametrize(("path", "body", "needs"), WRITES)
def test_a_command_needs_its_scope_and_is_recorded_once(
    shown: Beside, path: str, body: dict[str, object], needs: str
) -> None:
    scopes = ["read", "operate", "release"]
    for scope in scopes[: scopes.index(needs)]:
        assert shown.client.post(path, json=body, headers=shown.bearing(scope)).status_code == 403
    assert shown.client.post(path, json=body).status_code == 401
    assert not shown.inbox.waiting()
    given = {**body, "id": "twice-told"}
    taking = Thread(target=_taken, args=(shown, "twice-told"))
    taking.start()
    replies = [shown.client.post(path, json=given, headers=shown.bearing(needs)) for _ in range(2)]
    taking.join()
    assert [(each.status_code, each.json()) for each in replies] == [(200, {"id": "twice-told", "answer": "taken"})] * 2


def test_a_halt_under_an_id_of_something_else_is_refused_and_not_called_taken(shown: Beside) -> None:
    path, body, _ = WRITES[5]
    id = {"id": "20261122-01"}
    taking = Thread(target=_taken, args=(shown, id["id"]))
    taking.start()
    assert shown.client.post(path, json={**body, **id}, headers=shown.bearing("release")).status_code == 200
    taking.join()
    halt = {"action": "halt", "why": "stop", **id}
    reply = shown.client.post("/v1/safer", json=halt, headers=shown.bearing("operate"))
    assert reply.status_code == 409
    assert "was used for something else" in reply.json()["detail"]
    assert "409" in shown.client.get("/openapi.json").json()["paths"]["/v1/safer"]["post"]["responses"]


def _taken(beside: Beside, name: str) -> None:
    while not (waiting := beside.inbox.waiting()):
        pass
    told = waiting[0].told
    assert isinstance(told, Instruction)
    assert told.who in ("operateer", "releaseer")
    assert told.why == "drill"
    assert (told.command, len(waiting)) == (name, 1)
    beside.inbox.answer(name, "taken")


def test_wrong_tokens_lock_out_over_http_too(shown: Beside) -> None:
    wrong = {"Authorization": "Bearer reader.wrong"}
    codes = [shown.client.get("/v1/state", headers=wrong).status_code for _ in range(GUESSES + 1)]
    assert codes == [401] * GUESSES + [429]
    late = shown.client.get("/v1/state", headers=shown.bearing("read"))
    assert late.status_code == 429
    assert int(late.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    "body",
    [
        {"action": "halt"},
        {"action": "halt", "why": "  "},
        {"action": "resume", "why": "not here"},
        {"action": "halt", "why": "x", "id": "a b"},
        {"action": "halt", "why": "nul \x00"},
    ],
)
def test_a_malformed_command_is_refused_and_not_recorded(shown: Beside, body: dict[str, str]) -> None:
    assert shown.client.post("/v1/safer", json=body, headers=shown.bearing("release")).status_code == 422
    assert not shown.inbox.waiting()


def test_a_journal_that_is_gone_is_said_and_not_guessed_at(beside: Beside) -> None:
    beside.journal.close()
    beside.file.rename(beside.file.with_name("away"))
    beside.broadcast.look()
    found = beside.get("/v1/state")
    assert isinstance(found, dict)
    assert "cannot be read" in found["fault"]
    families = {each.name: each for each in parsed(beside.client.get("/metrics", headers=beside.bearing("read")).text)}
    assert families["rehedge_up"].samples[0].value == 0


def test_a_watcher_gets_the_latest_picture_and_only_what_changed(beside: Beside) -> None:
    async def watched() -> list[int]:
        events, broadcast = beside.broadcast.events(), beside.broadcast
        broadcast.look()
        numbers = [int((await anext(events)).split()[1])]
        following = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        assert not following.done(), "nothing is new"
        beside.inbox.tell(Operator(START, "halt", "ann", "drill", ""))
        task = asyncio.create_task(broadcast.follow())
        head, _, body = (await following).partition(b"\ndata: ")
        task.cancel()
        assert broadcast.frame is not None
        assert broadcast.frame.picture.snapshot.waiting == ["halt by ann"]
        assert json.loads(body) == json.loads(broadcast.frame.picture.model_dump_json())
        assert body.endswith(b"\n\n")
        assert broadcast.watchers == 1
        await events.aclose()  # type: ignore[attr-defined]
        assert broadcast.watchers == 0
        return [*numbers, int(head.removeprefix(b"id: "))]

    numbers = asyncio.run(watched())
    assert numbers[1] > numbers[0]


def test_the_page_needs_nothing_from_elsewhere(beside: Beside) -> None:
    names = {each.name for each in DASHBOARD.iterdir()}
    for path in ("/", *(f"/static/{name}" for name in names)):
        reply = beside.client.get(path)
        assert reply.status_code == 200
        assert "default-src 'self'" in reply.headers["Content-Security-Policy"]
        assert "http://" not in reply.text
        assert "https://" not in reply.text
    assert PLOTLY.is_file()
    assert names >= {"index.html", "dashboard.js", "style.css"}


def test_metrics_are_what_the_state_says(shown: Beside) -> None:
    families = {each.name: each for each in parsed(shown.client.get("/metrics", headers=shown.bearing("read")).text)}
    assert all(each.documentation for each in families.values())
    state = {sample.labels["state"]: sample.value for sample in families["rehedge_state"].samples}
    assert shown.mirror.state is not None
    assert [name for name, value in state.items() if value == 1] == [shown.mirror.state.risk.name]
    held = families["rehedge_units"].samples[0]
    assert held.labels == {"symbol": "BTC-PERP"}
    assert held.value == float(shown.mirror.state.ledger.position("BTC-PERP"))
    answers = {
        s.name: s.value for s in families["rehedge_answer_seconds"].samples if s.labels.get("le", "+Inf") == "+Inf"
    }
    assert answers["rehedge_answer_seconds_bucket"] > 5
