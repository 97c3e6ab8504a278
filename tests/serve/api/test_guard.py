"""The guard: scopes, lock-out and pace, by a clock that is told to move."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.api import tokens
from serve.api.guard import COMMANDS, GUESSES, READS, SPELL, WINDOW, Denial, Guard
from serve.api.tokens import Scope, Tokens
from serve.clock import VirtualClock
from tests.serve.support import START

HERE, THERE = "10.0.0.1", "10.0.0.2"


@pytest.fixture
def guard(issued: tuple[Path, dict[str, str]]) -> Guard:
    return Guard(tokens.load(issued[0]), VirtualClock(START))


def denied(guard: Guard, header: str | None, needs: Scope = Scope.READ, address: str = HERE) -> int:
    with pytest.raises(Denial) as why:
        guard.admitted(header, address, needs)
    return why.value.status


def test_each_scope_reaches_what_is_below_it_and_no_further(guard: Guard, issued: tuple[Path, dict[str, str]]) -> None:
    for scope in Scope:
        header = f"Bearer {issued[1][scope.name.lower()]}"
        for needs in Scope:
            if needs <= scope:
                assert guard.admitted(header, HERE, needs) == f"{scope.name.lower()}er"
            else:
                assert denied(guard, header, needs) == 403


def test_six_wrong_tokens_lock_the_address_out_for_a_spell(guard: Guard, issued: tuple[Path, dict[str, str]]) -> None:
    right = f"Bearer {issued[1]['read']}"
    for _ in range(GUESSES):
        assert denied(guard, "Bearer reader.wrong") == 401
    assert denied(guard, right) == 429, "the right one comes too late"
    assert guard.admitted(right, THERE, Scope.READ) == "reader", "elsewhere nobody guessed"
    guard.clock.wait_until(START + SPELL)
    assert guard.admitted(right, HERE, Scope.READ) == "reader"


def test_who_was_admitted_before_is_not_locked_out_by_anothers_guesses(
    guard: Guard, issued: tuple[Path, dict[str, str]]
) -> None:
    """And the other stays locked out: no token but that one is looked at."""
    right, other = (f"Bearer {issued[1][scope]}" for scope in ("operate", "release"))
    assert guard.admitted(right, HERE, Scope.OPERATE) == "operateer"
    assert guard.admitted(other, THERE, Scope.READ) == "releaseer"
    for _ in range(GUESSES):
        assert denied(guard, "Bearer operateer.wrong") == 401
    for _ in range(2):
        assert guard.admitted(right, HERE, Scope.OPERATE) == "operateer"
        assert {denied(guard, each) for each in (other, "Bearer operateer.wrong", "Bearer ", None)} == {429}


def test_a_right_token_clears_the_wrong_ones(guard: Guard, issued: tuple[Path, dict[str, str]]) -> None:
    for _ in range(2):
        for _ in range(GUESSES - 1):
            assert denied(guard, "Bearer reader.wrong") == 401
        assert guard.admitted(f"Bearer {issued[1]['read']}", HERE, Scope.READ)


def test_no_token_at_all_is_no_guess(guard: Guard) -> None:
    assert {denied(guard, None) for _ in range(2 * GUESSES)} == {401}


@pytest.mark.parametrize(("needs", "most"), [(Scope.READ, READS), (Scope.OPERATE, COMMANDS)])
def test_nobody_asks_more_often_than_the_window_allows(
    guard: Guard, issued: tuple[Path, dict[str, str]], needs: Scope, most: int
) -> None:
    header = f"Bearer {issued[1]['operate']}"
    for _ in range(most):
        guard.admitted(header, HERE, needs)
    assert denied(guard, header, needs) == 429
    guard.clock.wait_until(START + WINDOW)
    guard.admitted(header, HERE, needs)


def test_without_tokens_everyone_reads_and_nobody_commands() -> None:
    guard = Guard(Tokens({}), VirtualClock(START))
    assert guard.admitted(None, HERE, Scope.READ) == "anyone"
    assert denied(guard, None, Scope.OPERATE) == 403
