"""Facts over a catalogue: changes one after the other give the table that all of them at once give."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.data.item_filters import filter_items
from lexirec.models.facts_file import FactsChange, FactsFile
from lexirec.models.living_catalog import Facts
from lexirec.models.present_items import PresentItems, check_values

IDS = ["a", "b", "c", "d"]
CATALOG = Catalog(
    pa.table(
        {
            "item_id": IDS,
            "title": ["one", "two", "three", "four"],
            "price": [1.0, 2.0, None, 4.0],
            "stock": [1, 2, 3, 4],
            "tags": pa.array([["x"], None, [], ["y", "z"]], pa.list_(pa.string())),
            "available_until": ["", None, "2030-01-01T00:00:00Z", "later"],
        }
    ),
    ("title",),
)
COLUMNS = {
    "price": st.one_of(st.none(), st.floats(0, 100), st.integers(0, 9)),
    "stock": st.one_of(st.none(), st.integers(0, 99)),
    "tags": st.one_of(st.none(), st.lists(st.sampled_from(["x", "y"]), max_size=2)),
    "size": st.one_of(st.none(), st.integers(0, 9), st.floats(0, 9), st.text(max_size=2)),
    "sizes": st.one_of(st.none(), st.lists(st.integers(0, 3), max_size=2), st.just("wide")),
    "available_from": st.sampled_from([None, "1970-01-01T00:00:05Z", "1970-01-01T00:00:09Z"]),
    "available_until": st.sampled_from([None, "1970-01-01T00:00:06Z"]),
}
VALUES = st.dictionaries(
    st.sampled_from([*IDS, "stranger"]), st.fixed_dictionaries({}, optional=COLUMNS), min_size=1, max_size=3
)
CHANGES = st.lists(
    st.builds(
        FactsChange,
        VALUES,
        st.lists(st.sampled_from(IDS), max_size=2).map(tuple),
        st.lists(st.sampled_from(IDS), max_size=2).map(tuple),
    ),
    max_size=8,
)


@settings(max_examples=80, deadline=None)
@given(changes=CHANGES, read=st.lists(st.booleans(), min_size=8, max_size=8))
def test_one_after_the_other_is_as_all_at_once(tmp_path_factory, changes, read):
    file, present = FactsFile(tmp_path_factory.mktemp("facts")), PresentItems(CATALOG)
    for change, look in zip(changes, read, strict=False):
        try:
            check_values(change.values, file.values, file.kinds, CATALOG.table.schema)
        except DataError:
            continue
        with file.writing() as add:
            add(change)
        present.put(change)
        if look:
            present.catalog(file.kinds)
    found = present.catalog(file.kinds)
    facts = Facts(file.values, frozenset(file.hidden))
    expected, windows = facts.items(CATALOG)
    assert set(found.table.column_names) == set(expected.table.column_names)
    assert found.table.equals(expected.table.select(found.table.column_names))
    assert (~present.hidden == facts.mask(CATALOG)).all()
    for now in (0.0, 5.0, 6.0, 9.0):
        assert (present.windows.available(now) == windows.available(now)).all()


def test_what_was_made_of_other_columns_is_kept():
    filter_items(CATALOG, ["price<3", "stock>1"])
    kept = CATALOG.derived["stock"]
    present = PresentItems(CATALOG)
    present.put(FactsChange({"b": {"price": 9.0}}))
    after = present.catalog({"price": Counter({"fraction": 1})})
    assert after.derived["stock"] is kept
    assert after.item_ids is CATALOG.item_ids
    assert filter_items(after, ["price>8"]).mask.tolist() == [False, True, False, False]
    assert filter_items(CATALOG, ["price>8"]).mask.tolist() == [False] * 4, "the table before stays as it was"


def test_who_has_the_mask_of_hidden_items_keeps_it():
    present = PresentItems(CATALOG)
    before = present.hidden
    present.put(FactsChange(hidden=("a", "stranger")))
    assert not before.any()
    assert np.flatnonzero(present.hidden).tolist() == [0]


def test_a_value_of_another_kind_names_its_column():
    kinds = {"size": Counter({"number": 1})}
    check_values({"a": {"size": "wide"}}, {"a": {"size": 3}}, kinds, CATALOG.table.schema)  # the only number goes
    with pytest.raises(DataError, match=r"^size: the values are of different kinds"):
        check_values({"b": {"size": "wide"}}, {"a": {"size": 3}}, kinds, CATALOG.table.schema)
    with pytest.raises(DataError, match=r"^stock: the values are of another kind than the column"):
        check_values({"b": {"stock": 1.5}}, {}, {}, CATALOG.table.schema)
