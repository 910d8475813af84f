import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from lexirec.data.item_categories import Categories
from lexirec.data.sequences import Sequences
from lexirec.evaluation import beyond_accuracy as beyond
from lexirec.evaluation.beyond_accuracy import (
    MEASURES,
    BeyondAccuracyContext,
    beyond_accuracy,
    category_diversity,
    coverage,
    exposure,
    gini,
    mean_of_seeds,
    miscalibration,
    novelty,
    popularity_lift,
    popularity_reference,
    vector_diversity,
)

LISTS = np.array([[0, 1], [0, -1], [3, 0]], dtype=np.int32)
HISTORIES = Sequences.from_lists([[1, 2], [2], [0, 3]])
COUNTS = np.array([8, 4, 2, 0])
TARGETS = np.array([0, 3, 3], dtype=np.int32)


def around(**changes):
    return BeyondAccuracyContext(
        **{"histories": HISTORIES, "targets": TARGETS, "counts": COUNTS, "exclude_seen": False, **changes}
    )


def test_exposure_coverage_and_gini_by_hand():
    assert exposure(LISTS, 4).tolist() == [3, 1, 0, 1]
    assert coverage(LISTS, 4) == 0.75
    assert gini(np.array([3, 1, 0, 1])) == pytest.approx((-3 * 0 - 1 * 1 + 1 * 1 + 3 * 3) / (4 * 5))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=20))
def test_gini_is_the_mean_difference_of_two_items(amounts):
    amounts = np.array(amounts)
    n, total = len(amounts), amounts.sum()
    expected = np.abs(amounts[:, None] - amounts).sum() / (2 * n * total) if total else 0.0
    assert gini(amounts) == pytest.approx(expected)
    assert gini(np.full(5, 7)) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, 9])) == pytest.approx(1 - 1 / 4)


def test_novelty_is_mean_self_information():
    share = (COUNTS + 1) / (14 + 4)
    assert novelty(LISTS, COUNTS) == pytest.approx(-np.mean([math.log2(share[i]) for i in (0, 1, 0, 3, 0)]))
    assert novelty(np.full((2, 2), -1, dtype=np.int32), COUNTS) == 0


def test_popularity_lift_is_relative_to_histories():
    lists, histories = np.mean([6, 8, 4]), np.mean([3, 2, 4])
    assert popularity_lift(LISTS, HISTORIES, COUNTS) == pytest.approx(lists / histories - 1)
    assert popularity_lift(np.array([[1, 2], [2, -1], [3, 0]]), HISTORIES, COUNTS) == pytest.approx(0)


def test_the_popularity_list_leaves_seen_items_out_where_lists_do():
    kept = popularity_reference(LISTS, around())
    assert kept.tolist() == [[True, True], [True, False], [False, True]]
    excluded = popularity_reference(LISTS, around(exclude_seen=True))
    # most popular without the seen ones: 0 and 3; 0 and 1; 1 and 2
    assert excluded[1].tolist()[0] is True
    assert excluded[0].tolist() == [True, True]  # 1 is seen: it has no place of its own, and its rank is no worse


def reference(counts, history, places, exclude_seen):
    order = sorted(range(len(counts)), key=lambda item: (-counts[item], item))
    return set([item for item in order if not (exclude_seen and item in history)][:places])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=6, max_size=6),
    st.lists(st.lists(st.integers(0, 5), max_size=5), min_size=1, max_size=4),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_the_popularity_list_is_that_of_a_popularity_recommender(counts, histories, exclude_seen, random):
    lists = []
    for history in histories:
        free = [item for item in range(6) if not (exclude_seen and item in history)]
        row = random.sample(free, min(3, len(free)))
        lists.append(row + [-1] * (3 - len(row)))
    lists = np.array(lists, dtype=np.int32)
    given_ = around(
        histories=Sequences.from_lists(histories),
        counts=np.array(counts),
        exclude_seen=exclude_seen,
        targets=lists[:, 0],
    )
    found = popularity_reference(lists, given_)
    for row, history, marks in zip(lists, histories, found):
        expected = reference(counts, history, 3, exclude_seen)
        assert [bool(mark) for item, mark in zip(row, marks) if item >= 0] == [
            item in expected for item in row if item >= 0
        ]


def test_popularity_lists_are_neither_unexpected_nor_serendipitous():
    popular = np.tile(np.array([0, 1], dtype=np.int32), (3, 1))
    found = beyond_accuracy(popular, around())
    assert found["unexpectedness"] == found["serendipity"] == 0
    found = beyond_accuracy(LISTS, around())
    assert found["unexpectedness"] == pytest.approx(1 / 5)
    assert found["serendipity"] == pytest.approx(1 / 3)  # the third case's 3; the first case's hit is a popular item


def pairs(row):
    return [(a, b) for i, a in enumerate(row) for b in row[:i]]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.permutations(range(5)), min_size=1, max_size=4), st.integers(0, 3), st.integers(0, 2**16))
def test_diversity_is_the_mean_over_all_pairs(rows, short, seed):
    rng = np.random.default_rng(seed)
    vectors, groups = rng.standard_normal((5, 3)).astype(np.float32), rng.integers(-1, 3, 5)
    vectors[4] = 0
    lists = np.array(rows, dtype=np.int32)
    lists[0, 5 - short :] = -1
    kept = [[item for item in row if item >= 0] for row in lists]
    norms = np.linalg.norm(vectors, axis=1)
    cosine = lambda a, b: float(vectors[a] @ vectors[b]) / max(norms[a] * norms[b], 1e-9)  # noqa: E731
    expected = np.mean([np.mean([1 - cosine(a, b) for a, b in pairs(row)]) for row in kept])
    assert vector_diversity(lists, vectors) == pytest.approx(expected, abs=1e-5)
    told = [[item for item in row if groups[item] >= 0] for row in kept]
    shares = [np.mean([groups[a] != groups[b] for a, b in pairs(row)]) for row in told if len(row) > 1]
    assert category_diversity(lists, groups) == pytest.approx(np.mean(shares) if shares else 0.0)


def test_lists_as_mixed_as_histories_are_calibrated():
    categories = Categories(("a", "b"), np.array([0, 0, 1, 1, -1]), "kind")
    histories = Sequences.from_lists([[0, 1, 2], [4]])
    assert miscalibration(np.array([[0, 1, 3], [0, 1, 2]], dtype=np.int32), histories, categories) == pytest.approx(0)
    one_sided = np.array([[0, 1, -1], [0, 1, 2]], dtype=np.int32)
    p, q = np.array([2 / 3, 1 / 3]), np.array([1.0, 0.0])
    mixed = 0.99 * q + 0.01 * p
    assert miscalibration(one_sided, histories, categories) == pytest.approx((p * np.log(p / mixed)).sum())
    assert miscalibration(np.array([[4, -1, -1]] * 2, dtype=np.int32), histories, categories) == 0


def test_rows_in_batches_give_the_same(monkeypatch):
    categories = Categories(("a", "b"), np.array([0, 1, 1, 0]), "kind")
    given_ = around(exclude_seen=True, vectors=np.eye(4, dtype=np.float32), categories=categories)
    whole = beyond_accuracy(LISTS, given_)
    monkeypatch.setattr(beyond, "_CELLS", 1)
    assert_allclose(list(beyond_accuracy(LISTS, given_).values()), list(whole.values()))


def test_all_measures_have_words_and_those_without_material_are_none():
    found = beyond_accuracy(LISTS, around())
    assert list(found) == list(MEASURES)
    missing = {name for name, value in found.items() if value is None}
    assert missing == {"vector_diversity", "category_diversity", "miscalibration"}
    assert mean_of_seeds([{"a": 1.0, "b": None}, {"a": 3.0, "b": None}]) == {"a": 2.0, "b": None}
