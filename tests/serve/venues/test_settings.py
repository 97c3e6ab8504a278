"""Where keys stand, in the settings: a secret that is pasted there is refused, and not quoted."""

from __future__ import annotations

from typing import Any

import pytest

from envs.calibration import validated
from envs.types import BadInput
from serve.venues.settings import ExchangeSettings, Keys
from tests.serve.venues.desk import settings

PASTED = "pa5ted-s3cret/0815+x="


@pytest.mark.parametrize("raw", [{}, {"file": "f", "environment": {"secret": "S"}}, {"environment": {"pin": "S"}}])
def test_keys_stand_in_one_place_and_bear_names_that_are_known(raw: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="keys"):
        Keys.model_validate(raw)


@pytest.mark.parametrize("name", ["DERIBIT_KEY", "_", "deribit_key_2"])
def test_a_variable_bears_a_name_as_environments_have_them(name: str) -> None:
    assert Keys(environment={"apiKey": name}).environment == {"apiKey": name}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"environment": {"apiKey": "KEY", "secret": PASTED}}, r"keys\.environment\.secret is no variable's name"),
        ({"environment": {"apiKey": "KEY", "secret": "4711KEY"}}, r"keys\.environment\.secret is no variable's name"),
        ({"environment": {"apiKey": "KEY", "secret": "KEYé"}}, r"keys\.environment\.secret is no variable's name"),
        ({"environment": {"apiKey": "KEY", "password": 4711}}, r"keys\.environment\.password is no variable's name"),
        ({"environment": {"apiKey": ""}}, r"keys\.environment\.apiKey is no variable's name"),
        ({"environment": {PASTED: "SECRET"}}, "no secret's; have apiKey"),
        ({"environment": PASTED}, "keys is no table"),
        ({"secret": PASTED}, "not a setting"),
        (PASTED, "keys is no table"),
    ],
)
def test_what_is_pasted_in_place_of_a_variables_name_is_refused_in_a_line_that_does_not_show_it(
    keys: Any, words: str
) -> None:
    raw = settings("http://127.0.0.1:1").model_dump(mode="json")
    with pytest.raises(BadInput, match=words) as refused:
        validated(ExchangeSettings, {**raw, "keys": keys}, "config.toml")
    assert str(refused.value).startswith("config.toml: keys")
    assert "\n" not in str(refused.value)
    assert not any(part in str(refused.value) for part in (PASTED, "4711", "KEYé"))
