from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexirec.core.errors import ArtifactError
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
