import numpy as np
import pyarrow as pa
import pytest

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.models.extension.changes import CatalogChange, ItemChanges

CATALOG = Catalog(
    pa.table({"item_id": ["a", "b", "c"], "title": ["one", "two", "three"], "price": [1.0, 2.0, None]}), ("title",)
)


def change(rows=None, removed=(), catalog=CATALOG, **options):
    table = None if rows is None else pa.Table.from_pylist(rows)
    return CatalogChange.of(catalog, ItemChanges(table, removed), **options)


def test_rows_are_added_behind_and_updated_in_place():
    found = change([{"item_id": "d", "title": "four"}, {"item_id": "b", "title": "zwei"}], removed=["a"])
    assert found.after.item_ids == ["b", "c", "d"]
    assert found.after.field("title") == ["zwei", "three", "four"]
    assert found.after.table["price"].to_pylist() == [2.0, None, None]
    assert found.reworded.tolist() == [0]
    assert found.moved.tolist() == [-1, 0, 1]
    assert found.added.tolist() == [2]
    assert found.trained == 2


def test_facts_alone_reword_nothing_and_new_columns_are_empty_elsewhere():
    found = change([{"item_id": "c", "price": 3, "stock": 7}])
    assert found.reworded.tolist() == []
    assert found.after.table["price"].to_pylist() == [1.0, 2.0, 3.0]
    assert found.after.table["stock"].to_pylist() == [None, None, 7]


def test_items_added_earlier_do_not_count_as_trained():
    assert change([{"item_id": "d", "title": "four"}], removed=["a"], trained=2).trained == 1


@pytest.mark.parametrize(
    ("rows", "removed", "message"),
    [
        ([{"title": "x"}], (), "no column 'item_id'"),
        ([{"item_id": "", "title": "x"}], (), "has no id"),
        ([{"item_id": "d", "title": "x"}] * 2, (), "item 'd' stands in more than one row"),
        ([{"item_id": "d", "price": 1.0}], (), "item 'd' has no text"),
        ([{"item_id": "d", "title": "x", "price": "dear"}], (), "column 'price' is string, the catalog's is double"),
        ([{"item_id": "a", "title": "x"}], ("a",), "both removed and given"),
        (None, ("aa",), "item 'aa' cannot be removed"),
        (None, ("a", "b", "c"), "leave no item"),
    ],
)
def test_bad_changes_are_one_line(rows, removed, message):
    with pytest.raises(DataError, match=message) as caught:
        change(rows, removed)
    assert "\n" not in str(caught.value)


def test_refused_items_are_left_out():
    found = change([{"item_id": "d", "title": "four"}, {"item_id": "e", "title": "five"}]).without(["d"])
    assert found.after.item_ids == ["a", "b", "c", "e"]
    assert np.array_equal(found.added, [3])
