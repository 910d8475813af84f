from typing import ClassVar, Literal

import pytest
from pydantic import TypeAdapter, ValidationError

from lexirec.core.registry import PartSettings, Registry, WeightSettings, choice_of, parameters


class One(PartSettings):
    needs: ClassVar[tuple[str, ...]] = ("vectors",)
    kind: Literal["one"] = "one"


class Two(PartSettings):
    kind: Literal["two"] = "two"
    deep: bool = False

    def needed(self):
        return ("neighbors",) if self.deep else ()


class Weights(WeightSettings):
    parts: ClassVar[dict[str, str]] = {"plain": "…", "extra": "…"}
    plain: float = 1.0
    length: int = 3


def test_parts_are_imported_when_they_are_looked_up():
    parts = Registry("json", {"decoder": "decoder:JSONDecoder", "gone": "nowhere:Nothing"})
    assert list(parts) == ["decoder", "gone"]
    assert len(parts) == 2
    assert "gone" in parts
    assert "other" not in parts
    assert parts["decoder"].__name__ == "JSONDecoder"
    with pytest.raises(ModuleNotFoundError):
        parts["gone"]
    with pytest.raises(KeyError):
        parts["other"]


def test_a_choice_is_told_apart_by_kind():
    choice = TypeAdapter(choice_of([One, Two], "two"))
    assert choice.validate_python({"kind": "one"}) == One()
    assert choice.validate_python({"deep": True}).needed() == ("neighbors",)
    with pytest.raises(ValidationError, match="'one', 'two'"):
        choice.validate_python({"kind": "three"})
    with pytest.raises(ValidationError, match="discriminator"):
        TypeAdapter(choice_of([One, Two])).validate_python({})


def test_parts_say_what_they_read():
    assert One().needed() == ("vectors",)
    assert Two().needed() == ()
    assert One().files() == {}


def test_a_weight_without_a_field_is_kept_only_where_it_is_given():
    assert Weights().weights() == {"plain": 1.0, "extra": 0.0}
    assert Weights().model_dump() == {"plain": 1.0, "length": 3}
    given = Weights(extra=2)
    assert given.weights() == {"plain": 1.0, "extra": 2.0}
    assert given.model_dump() == {"plain": 1.0, "length": 3, "extra": 2.0}
    assert given.model_copy(update={"plain": 0.0}).weights() == {"plain": 0.0, "extra": 2.0}
    assert Weights.model_validate(given.model_dump()) == given
    with pytest.raises(ValidationError, match=r"has no setting 'extar'. Did you mean 'extra'"):
        Weights(extar=1.0)
    with pytest.raises(ValidationError, match="valid number"):
        Weights(extra="much")


def test_parameters_say_which_must_be_given():
    def function(one, *, two, three=3, **rest):
        return one, two, three, rest

    assert parameters(function) == {"one": True, "two": True, "three": False}
