from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lexirec.core.config_errors import explain, origin_of, shown


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Small(Closed):
    kind: Literal["small"] = "small"
    size: int = Field(default=1, ge=1)


class Large(Closed):
    kind: Literal["large"] = "large"
    weight: float
    "Its weight in kilograms."


class Whole(Closed):
    part: Annotated[Small | Large, Field(discriminator="kind")] = Small()
    parts: list[Small] = Field(default_factory=list)
    inner: dict[str, Small] = Field(default_factory=dict)


def said(values) -> tuple[str, str]:
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate(values)
    return explain(caught.value.errors()[0], Whole, values)


@pytest.mark.parametrize(
    ("values", "name", "words"),
    [
        (
            {"part": {"kind": "small", "size": 0}},
            "part.size",
            "'part.size' is 0; it should be greater than or equal to 1",
        ),
        ({"part": {"kind": "large"}}, "part.weight", "'part.weight' is missing"),
        ({"part": {"kind": "huge"}}, "part.kind", "'part.kind' is 'huge'; allowed: 'small', 'large'."),
        ({"part": {}}, "part", "'part.kind' is missing; allowed: 'small', 'large'"),
        ({"part": 3}, "part", "'part' is 3; it should be a table of settings"),
        ({"parts": [{}, {"size": "x"}]}, "parts.1.size", "'parts.1.size' is \"x\"; it should be a valid integer"),
        ({"inner": {"a": {"sise": 1}}}, "inner.a.sise", "Did you mean 'inner.a.size'?"),
        ({"size": 1}, "size", "Did you mean 'part.size'?"),
    ],
)
def test_a_problem_is_said_in_the_users_words(values, name, words):
    found, message = said(values)
    assert found == name
    assert words in message
    assert "small.size" not in message


def test_values_are_shown_short_and_as_written():
    assert shown("x") == '"x"'
    assert shown(True) == "true"
    assert shown({"a": 1}) == "a table"
    assert shown([1]) == "a list"
    assert shown(Path("a")) == "a"
    assert len(shown("y" * 500)) == 58


def test_the_origin_is_the_nearest_enclosing_name():
    origins = {"a": "base.toml", "a.b.c": "--set a.b.c=1"}
    assert origin_of("a.b.c", origins, "shop.toml") == "--set a.b.c=1"
    assert origin_of("a.b.d", origins, "shop.toml") == "base.toml"
    assert origin_of("z", origins, "shop.toml") == "shop.toml"
    assert origin_of("a.b", origins, "shop.toml") == "--set a.b.c=1", "a table that no file wrote"
