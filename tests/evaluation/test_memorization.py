from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.evaluation import memorization
from lexirec.evaluation.memorization import MOST_HOPS, PATTERNS, Transitions, fewest_hops, memorised

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


def by_definition(rows, history, target):
    """The fewest hops of every pattern by the definitions of arXiv 2603.19809, pair by pair."""

    def seen(a, b, hops):
        return any(row[i] == a and b in row[i + 1 : i + 1 + hops] for row in rows for i in range(len(row)))

    items = range(6)
    tests = (
        lambda s, t, k: seen(s, t, k),
        lambda s, t, k: seen(t, s, k),
        lambda s, t, k: any(seen(s, x, k) and seen(x, t, k) for x in items),
        lambda s, t, k: any(
            (seen(x, s, k) and seen(x, t, k)) or (seen(s, x, k) and seen(t, x, k)) or (seen(t, x, k) and seen(x, s, k))
            for x in items
        ),
    )
    if history and seen(history[-1], target, 1):
        return [-1] * len(PATTERNS)
    return [
        next((k for k in range(1, MOST_HOPS + 1) if any(test(s, target, k) for s in history[-k:])), 0) for test in tests
    ]


@settings(max_examples=60, deadline=None)
@given(ROWS, st.lists(st.tuples(st.lists(st.integers(0, 5), max_size=6), st.integers(0, 5)), min_size=1, max_size=4))
def test_patterns_are_those_of_their_definitions(rows, asked):
    histories, targets = zip(*asked)
    cases = Cases(np.arange(len(asked)), np.array(targets, dtype=np.int32), Sequences.from_lists(histories))
    found = fewest_hops(cases, Sequences.from_lists(rows), 6)
    assert found.tolist() == [by_definition(rows, *each) for each in asked]
    known = memorised(cases, Transitions.of(Sequences.from_lists(rows), 6))
    assert known.tolist() == (found == -1).all(axis=1).tolist()


def test_distant_transitions_stay_within_their_row():
    rows = Sequences.from_lists([[0, 1, 2], [3, 4]])
    wide = Transitions.of(rows, 5, hops=3)
    pairs = {tuple(divmod(key, 5)) for key in wide.keys.tolist()}
    assert pairs == {(0, 1), (1, 2), (0, 2), (3, 4)}
