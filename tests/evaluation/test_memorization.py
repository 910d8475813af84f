from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lexirec.data.sequences import Sequences
from lexirec.evaluation import memorization
from lexirec.evaluation.memorization import Transitions

ROWS = st.lists(st.lists(st.integers(0, 5), max_size=6), max_size=6)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_exactly_the_neighbours_of_a_row_are_transitions(rows):
    known = {pair for row in rows for pair in pairwise(row)}
    first, second = (array.ravel() for array in np.meshgrid(np.arange(6), np.arange(6), indexing="ij"))
    found = Transitions.of(Sequences.from_lists(rows), 6)
    assert _chosen(first, second, found.seen(first, second)) == known
    through = {(a, c) for a, b in known for d, c in known if b == d}
    assert _chosen(first, second, found.through_one(first, second)) == through


def _chosen(first, second, marks):
    return set(zip(first[marks].tolist(), second[marks].tolist()))


def test_pairs_are_looked_at_in_parts(monkeypatch):
    rows = Sequences.from_lists([[0, 1, 2], [1, 3], [0, 4, 2]])
    found, asked = Transitions.of(rows, 5), (np.repeat(np.arange(5), 5), np.tile(np.arange(5), 5))
    whole = found.through_one(*asked)
    monkeypatch.setattr(memorization, "_ENTRIES", 2)
    assert found.through_one(*asked).tolist() == whole.tolist()
    assert whole.sum() == 2  # 0 → 1 → 3 and 0 → … → 2


def test_no_training_and_empty_rows_have_none():
    for rows in ([], [[]], [[], [1], []]):
        assert not Transitions.of(Sequences.from_lists(rows), 3).seen(np.array([1]), np.array([1])).any()
