import numpy as np
import pyarrow as pa
import pytest

from lexirec.core.errors import DataError, SettingsError
from lexirec.data.catalog import Catalog
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases, Split
from lexirec.evaluation.context import KINDS, EvaluationContext, divided, surroundings

TRAIN = Sequences.from_lists([[0, 1, 2], [1, 2, 3], [4, 1]])
CASES = Cases(
    np.arange(4), np.array([2, 4, 0, 1], dtype=np.int32), Sequences.from_lists([[1], [2, 3], [0, 1], [4] * 9])
)


def ground(**fields):
    table = pa.table({"item_id": list("abcde"), "title": ["x"] * 5, **fields})
    split = Split(TRAIN, np.arange(3), CASES, CASES, 5, {})
    return EvaluationContext(Catalog(table, ("title",)), split, CASES)


def test_all_kinds_divide_unless_they_cannot():
    slicings, notes = divided(ground(genre=["A", "A", "B", "B", "B"]))
    assert [each.kind.partition(" ")[0] for each in slicings] == list(KINDS)
    assert notes == []
    slicings, notes = divided(ground())
    assert [each.kind for each in slicings] == [kind for kind in KINDS if kind != "category"]
    assert notes == ["not divided by category: name a field as --by category=FIELD"]
    _, notes = divided(ground(brand=["Acme"] * 5), ["category=brand"])
    assert notes == ["not divided by category (brand): all cases are 'Acme'"]


def test_kinds_and_values_are_chosen():
    slicings, _ = divided(ground(brand=list("xxyyy")), ["popularity=2", "category=brand", "memorisation"])
    assert [each.kind for each in slicings] == ["popularity", "category (brand)", "memorisation"]
    assert slicings[0].names == ("head", "tail", "unseen")


def test_lists_are_judged_by_the_categories_that_are_named():
    given = ground(brand=list("xxyyy"), genre=list("AABBC"))
    assert surroundings(given, True).categories.names == ("A", "B", "C")
    assert surroundings(given, True, ["history", "category=brand"]).categories.names == ("x", "y")
    assert surroundings(ground(), False).categories is None
    assert surroundings(given, True).counts.tolist() == [1, 3, 2, 1, 1]


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("memorization", r"--by memorization: it should be one of popularity.*Did you mean 'memorisation'\?"),
        ("history=3", "history takes no value; write --by history"),
        ("category=", "there is nothing behind the '='"),
        ("popularity=1", "2 to 20 parts, such as --by popularity=5"),
        ("popularity=many", "2 to 20 parts"),
    ],
)
def test_mistakes_are_told(by, message):
    with pytest.raises(SettingsError, match=message):
        divided(ground(), [by])


def test_an_unknown_field_is_told():
    with pytest.raises(DataError, match="no field 'brand'; it has item_id, title"):
        divided(ground(), ["category=brand"])
