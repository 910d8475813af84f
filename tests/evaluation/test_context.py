import numpy as np
import pyarrow as pa
import pytest

from lexirec.core.errors import DataError, SettingsError
from lexirec.data.catalog import Catalog
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases, Split
from lexirec.evaluation.context import KINDS, EvaluationContext, beyond_accuracy_context, divided

TRAIN = Sequences.from_lists([[0, 1, 2], [1, 2, 3], [4, 1], [1], [1]])
CASES = Cases(
    np.arange(4), np.array([2, 4, 0, 1], dtype=np.int32), Sequences.from_lists([[1], [2, 3], [0, 1], [4] * 9])
)


def context(**fields):
    table = pa.table({"item_id": list("abcde"), "title": ["x"] * 5, **fields})
    split = Split(TRAIN, np.arange(5), CASES, CASES, 5, {})
    return EvaluationContext(Catalog(table, ("title",)), split, CASES)


def test_all_kinds_divide_unless_they_cannot():
    slicings, notes = divided(context(genre=["A", "A", "B", "B", "B"]))
    assert [each.kind.partition(" ")[0] for each in slicings] == list(KINDS)
    assert notes == []
    slicings, notes = divided(context())
    assert [each.kind for each in slicings] == [kind for kind in KINDS if kind != "category"]
    assert notes == ["not sliced by category: no field was recognised; name one with --by category=FIELD"]
    _, notes = divided(context(brand=["Acme"] * 5), ["category=brand"])
    assert notes == ["not sliced by category (brand): all cases are in the group 'Acme'"]


def test_kinds_and_values_are_chosen():
    slicings, _ = divided(context(brand=list("xxyyy")), ["popularity=2", "category=brand", "memorisation"])
    assert [each.kind for each in slicings] == ["popularity", "category (brand)", "memorisation"]
    assert slicings[0].names == ("head", "tail", "unseen")


def test_lists_are_judged_by_the_categories_that_are_named():
    given = context(brand=list("xxyyy"), genre=list("AABBC"))
    assert beyond_accuracy_context(given, True).categories.names == ("A", "B", "C")
    assert beyond_accuracy_context(given, True, ["history", "category=brand"]).categories.names == ("x", "y")
    assert beyond_accuracy_context(context(), False).categories is None
    assert beyond_accuracy_context(given, True).counts.tolist() == [1, 5, 2, 1, 1]


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("memorization", r"--by memorization: must be one of popularity.*Did you mean 'memorisation'\?"),
        ("history=3", "history takes no value; write --by history"),
        ("category=", "the value after '=' is missing"),
        ("popularity=1", "2 to 20 parts, such as --by popularity=5"),
        ("popularity=many", "2 to 20 parts"),
    ],
)
def test_mistakes_are_reported(by, message):
    with pytest.raises(SettingsError, match=message):
        divided(context(), [by])


def test_an_unknown_field_is_reported():
    with pytest.raises(DataError, match="no field 'brand'; it has item_id, title"):
        divided(context(), ["category=brand"])
