"""Tokens: only hashes are kept, and only whoever holds one is known."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from envs.types import BadInput
from serve.api import tokens
from serve.api.tokens import Scope


def test_a_token_is_known_by_its_secret_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "tokens.toml"
    ann, ben = tokens.issued(path, "ann", "operate"), tokens.issued(path, "ben", "read")
    known = tokens.load(path)
    for _ in range(2):  # the second time it is remembered
        assert known.scope(ann) == ("ann", Scope.OPERATE)
        assert known.scope(ben) == ("ben", Scope.READ)
        assert known.scope(f"ann.{ben.partition('.')[2]}") is None
        assert known.scope(ann[:-1]) is None
        assert known.scope("nobody.secret") is None
        assert known.scope("") is None


def test_the_file_holds_no_secret_and_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    secret = tokens.issued(path, "ann", "read").partition(".")[2]
    assert len(secret) >= 32
    assert secret not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_hash_costs_whoever_guesses_64_mib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "PasswordHasher", PasswordHasher)
    tokens.issued(tmp_path / "tokens.toml", "ann", "read")
    assert "$argon2id$v=19$m=65536,t=3,p=4$" in (tmp_path / "tokens.toml").read_text()


def test_a_token_taken_away_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    ann = tokens.issued(path, "ann", "read")
    tokens.revoked(path, "ann")
    assert tokens.load(path).scope(ann) is None
    assert not tokens.load(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tokens = 3", "tokens"),
        ('[tokens.ann]\nscope = "king"\nhash = "$argon2id$x"', "scope"),
        ('[tokens.ann]\nscope = "read"\nhash = "plain"', "hash"),
        ('[tokens.Ann]\nscope = "read"\nhash = "$argon2id$x"', "tokens"),
        ("[tokens", "no TOML"),
    ],
)
def test_a_file_that_is_none_is_refused_in_a_line(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(BadInput, match=words) as refused:
        tokens.load(path)
    assert "\n" not in str(refused.value)


def test_a_file_that_others_may_read_and_a_name_twice_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    tokens.issued(path, "ann", "read")
    with pytest.raises(BadInput, match="ann has a token"):
        tokens.issued(path, "ann", "read")
    with pytest.raises(BadInput, match="nobody is named ben; have ann"):
        tokens.revoked(path, "ben")
    path.chmod(0o640)
    with pytest.raises(BadInput, match="others may read it"):
        tokens.load(path)
    with pytest.raises(BadInput, match="cannot be read"):
        tokens.load(tmp_path / "none.toml")
