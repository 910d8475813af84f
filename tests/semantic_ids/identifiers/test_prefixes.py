import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexirec.core.errors import DataError
from lexirec.semantic_ids.identifiers.identifiers import pad_rows
from lexirec.semantic_ids.identifiers.prefixes import SortedRows, cut_shortest, find_clash, made_unique

rows = st.lists(st.lists(st.integers(0, 4), max_size=4).map(tuple), min_size=1, max_size=40)


def padded(rows):
    return pad_rows(np.array([token for row in rows for token in row], dtype=int), np.array([len(row) for row in rows]))


def unpadded(tokens):
    return [tuple(int(token) for token in row if token >= 0) for row in tokens]


def begins(first, second):
    return second[: len(first)] == first


@given(rows)
@settings(max_examples=300, deadline=None)
def test_prefix_numbers_tell_prefixes_apart(given_rows):
    found = SortedRows.of(padded(given_rows))
    ordered = [given_rows[place] for place in found.order]
    assert ordered == sorted(given_rows)
    for depth in range(1, 6):
        numbers = found.prefixes(depth)
        for first, second in zip(range(len(ordered)), range(1, len(ordered)), strict=False):
            same = ordered[first][:depth] == ordered[second][:depth]
            assert (numbers[first] == numbers[second]) == same


@given(rows, st.integers(2, 3))
@settings(max_examples=300, deadline=None)
def test_counted_rows_are_unique_and_prefix_free_whatever_was_given(given_rows, spare):
    counters = np.arange(3, 5 + spare, dtype=np.int32)  # some counters are tokens of rows too
    found = unpadded(made_unique(padded(given_rows), counters))
    for place, row in enumerate(given_rows):
        assert begins(row, found[place])
        clean = row and not any(
            begins(row, other) for other_place, other in enumerate(given_rows) if other_place != place
        )
        assert (found[place] == row) == bool(clean)
    for place, row in enumerate(found):
        assert row
        assert not any(begins(row, other) for other_place, other in enumerate(found) if other_place != place)
    assert find_clash(padded(found)) is None
    assert (padded(found) >= 0).any(axis=1).all()


@given(st.sets(st.tuples(*[st.integers(0, 3)] * 4), min_size=1))
@settings(max_examples=200, deadline=None)
def test_cut_rows_are_the_shortest_prefixes_nobody_else_has(given_rows):
    given_rows = sorted(given_rows, key=hash)
    cut = unpadded(cut_shortest(padded(given_rows)))
    for place, row in enumerate(given_rows):
        others = [other for other in given_rows if other != row]
        assert begins(cut[place], row)
        assert not any(begins(cut[place], other) for other in others)
        assert len(cut[place]) == 1 or any(begins(cut[place][:-1], other) for other in others)
    assert find_clash(padded(cut)) is None


def test_counters_follow_the_given_order_and_pass_over_tokens_that_follow_already():
    tokens = padded([(7, 8), (9,), (7, 8), (7, 8, 100), (7, 8)])
    found = unpadded(made_unique(tokens, np.array([100, 101, 102, 103], dtype=np.int32)))
    assert found == [(7, 8, 101), (9,), (7, 8, 102), (7, 8, 100), (7, 8, 103)]


def test_many_equal_rows_get_numbers_of_equal_length():
    found = unpadded(made_unique(padded([(5,)] * 7), np.array([10, 11], dtype=np.int32)))
    assert found[:3] == [(5, 10, 10, 10), (5, 10, 10, 11), (5, 10, 11, 10)]
    assert len(set(found)) == 7


def test_clashes_are_found():
    assert find_clash(padded([(1, 2), (3,), (1, 2, 4)])) == (0, 2)
    assert find_clash(padded([(1, 2), (3,), (1, 2)])) == (0, 2)
    assert find_clash(padded([(1, 2), (3,), (1, 4)])) is None


def test_too_few_counters_are_an_error():
    with pytest.raises(DataError, match="3 items share one identifier"):
        made_unique(padded([(1,)] * 3), np.array([5], dtype=np.int32))
