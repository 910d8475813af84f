from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexirec.core.errors import ArtifactError, DataError
from lexirec.data.sequences import Sequences

LISTS = st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=6)


@given(LISTS)
def test_rows_come_back(lists):
    rows = Sequences.from_lists(lists)
    assert len(rows) == len(lists)
    assert [rows.row(i).tolist() for i in range(len(rows))] == lists
    assert rows.lengths.tolist() == [len(row) for row in lists]
    assert rows.items.dtype == np.int32
    assert rows.offsets.dtype == np.int64


@given(LISTS, st.integers(0, 4))
def test_last_and_padded_keep_the_newest(lists, n):
    rows = Sequences.from_lists(lists)
    kept = [row[len(row) - min(n, len(row)) :] for row in lists]
    assert rows.last(n) == Sequences.from_lists(kept)
    assert rows.padded(n).tolist() == [row + [-1] * (n - len(row)) for row in kept]
    newest = [row[::-1] + [7] * (n - len(row)) for row in kept]
    assert rows.padded(n, fill=7, newest_first=True).tolist() == newest


@given(LISTS, st.data())
def test_take_and_where(lists, data):
    rows = Sequences.from_lists(lists)
    chosen = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=8)) if lists else []
    assert rows.take(chosen) == Sequences.from_lists([lists[i] for i in chosen])
    even = [[item for item in row if item % 2 == 0] for row in lists]
    assert rows.where(rows.items % 2 == 0) == Sequences.from_lists(even)


def test_rows_of_several_parts_stand_below_one_another():
    parts = [[[0, 1], []], [], [[5]]]
    joined = Sequences.concatenate([Sequences.from_lists(part) for part in parts])
    assert joined == Sequences.from_lists([[0, 1], [], [5]])
    assert Sequences.concatenate([]) == Sequences.from_lists([])


def test_counts():
    assert Sequences.from_lists([[0, 2, 2], [], [2]]).counts(4).tolist() == [1, 0, 3, 0]


def test_row_knows_its_bounds():
    rows = Sequences.from_lists([[1], [2, 3]])
    assert rows.row(-1).tolist() == [2, 3]
    with pytest.raises(IndexError, match="row 2 of 2 rows"):
        rows.row(2)


@pytest.mark.parametrize("offsets", [[], [1, 2], [0, 1], [0, 3, 2]])
def test_offsets_must_fit(offsets):
    with pytest.raises(ValueError, match="offsets must"):
        Sequences(np.array([4, 5]), np.array(offsets))


def test_save_and_load(tmp_path):
    rows = Sequences.from_lists([[1, 2], [], [3]])
    rows.save(tmp_path / "rows")
    assert Sequences.load(tmp_path / "rows") == rows
    (tmp_path / "rows" / "offsets.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(ArtifactError, match=r"offsets.npy: the array is damaged"):
        Sequences.load(tmp_path / "rows")
    (tmp_path / "rows" / "offsets.npy").unlink()
    with pytest.raises(ArtifactError, match=r"offsets.npy: the file is missing"):
        Sequences.load(tmp_path / "rows")


def test_numbers_that_no_item_has_are_refused_with_their_row():
    rows = Sequences.from_lists([[0, 1], [], [2, 5], [9]])
    rows.check(10)
    Sequences.from_lists([]).check(0)
    with pytest.raises(DataError, match="history 2 holds item number 5, but the catalog has 5 items"):
        rows.check(5)
    with pytest.raises(DataError, match="history 1 holds item number -3"):
        Sequences.from_lists([[0], [-3]]).check(5)
    with pytest.raises(DataError, match="history 3 holds item number 9"):
        rows.counts(9)


def test_arrays_changed_in_place_are_noticed():
    rows = Sequences.from_lists([[0, 1], [2]])
    rows.offsets[1] = 7
    with pytest.raises(DataError, match="the offsets of the histories were changed"):
        rows.check(5)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ([[0, 1.5]], "item numbers are whole numbers, but .* is of type float64"),
        ([["0", "1"]], "item numbers are whole numbers, but"),
        ("ab", "a history is a list of item numbers, such as"),
        ([0, 1], "a history is a list of item numbers, such as"),
        ([[[0], [1, 2]]], "a history is a list of item numbers, such as"),
        ([[True, False]], "is of type bool"),
        ([[2**31]], "item numbers go up to 2,147,483,647, but 2,147,483,648 is among them"),
        ([[None]], "is of type object"),
    ],
)
def test_other_lists_are_refused(lists, message):
    with pytest.raises(DataError, match=message):
        Sequences.from_lists(lists)


def test_item_numbers_are_never_cut_or_wrapped():
    for items in (np.array([1.5]), np.array([2**40]), np.array(["1"])):
        with pytest.raises(DataError):
            Sequences(items, np.array([0, 1]))
    assert Sequences(np.array([1], dtype=np.uint8), np.array([0, 1])).items.dtype == np.int32
    assert len(Sequences(np.array([]), np.array([0, 0])).items) == 0
