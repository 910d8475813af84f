import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lexirec.core.errors import TrainingError
from lexirec.evaluation.metrics import mrr, ndcg, ranks_in_scores, ranks_of, recall, summarize

RANKS = arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 60))
K = st.integers(1, 60)


def test_values_worked_out_by_hand():
    ranks = np.array([1, 3, 0, 11])
    assert recall(ranks, 10) == 0.5
    assert ndcg(ranks, 10) == pytest.approx((1 + 1 / 2) / 4)  # log2(3 + 1) = 2
    assert mrr(ranks, 10) == pytest.approx((1 + 1 / 3) / 4)
    assert ndcg(ranks, 20) == pytest.approx((1 + 1 / 2 + 1 / math.log2(12)) / 4)
    assert recall(ranks, 1) == 0.25


def test_ranks_of_finds_the_first_place_and_zero_when_absent():
    lists = np.array([[4, 2, 9], [4, 2, -1], [7, 7, 1]])
    assert ranks_of(lists, np.array([9, 5, 7])).tolist() == [3, 0, 1]


def test_ranks_of_an_empty_list_is_zero():
    assert ranks_of(np.empty((2, 0), dtype=np.int32), np.array([1, 2])).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("lists", "targets"), [(np.zeros((2, 3), int), np.zeros(3, int)), (np.zeros(3, int), np.zeros(3, int))]
)
def test_ranks_of_refuses_shapes_that_do_not_belong_together(lists, targets):
    with pytest.raises(ValueError, match="differ in length"):
        ranks_of(lists, targets)


def test_an_empty_place_is_never_a_hit():
    with pytest.raises(ValueError, match="negative item number"):
        ranks_of(np.array([[-1, -1]]), np.array([-1]))


def test_ranks_in_scores_breaks_ties_by_number_and_knows_the_forbidden():
    scores = np.array([[1.0, 2.0, 1.0], [1.0, 2.0, 1.0], [0.0, -np.inf, 0.0]])
    assert ranks_in_scores(scores, np.array([0, 2, 1])).tolist() == [2, 3, 0]


@given(arrays(np.float32, (4, 9), elements=st.sampled_from([0.0, 1.0, 2.0])), st.integers(0, 8))
def test_ranks_in_scores_equal_a_stable_sort(scores, target):
    targets = np.full(4, target)
    assert np.array_equal(
        ranks_in_scores(scores, targets), ranks_of(np.argsort(-scores, axis=1, kind="stable"), targets)
    )


def test_summarize_names_every_metric_at_every_k():
    summary = summarize(np.array([2]), (1, 5))
    assert summary == {
        "recall@1": 0.0,
        "recall@5": 1.0,
        "ndcg@1": 0.0,
        "ndcg@5": pytest.approx(1 / math.log2(3)),
        "mrr@1": 0.0,
        "mrr@5": 0.5,
    }


def test_no_cases_give_zero_and_k_zero_is_refused():
    assert recall(np.array([], dtype=np.int64), 10) == 0.0
    with pytest.raises(ValueError, match="k = 0"):
        recall(np.array([1]), 0)


@given(RANKS, K)
def test_mrr_is_at_most_ndcg_is_at_most_recall(ranks, k):
    assert 0 <= mrr(ranks, k) <= ndcg(ranks, k) + 1e-12
    assert ndcg(ranks, k) <= recall(ranks, k) + 1e-12 <= 1 + 1e-9


@given(RANKS, K)
def test_metrics_never_fall_with_k_and_agree_at_one(ranks, k):
    for metric in (recall, ndcg, mrr):
        assert metric(ranks, k) <= metric(ranks, k + 1) + 1e-12
        assert metric(ranks, 1) == pytest.approx(recall(ranks, 1))


@given(RANKS, K, st.randoms(use_true_random=False))
def test_order_of_cases_does_not_matter(ranks, k, random):
    shuffled = ranks.tolist()
    random.shuffle(shuffled)
    for metric in (recall, ndcg, mrr):
        assert metric(np.array(shuffled), k) == pytest.approx(metric(ranks, k))


@given(st.integers(1, 30), st.integers(0, 29))
def test_ranks_of_undoes_a_permutation(size, place):
    order = np.random.default_rng(size).permutation(size)[None]
    assert ranks_of(order, order[:, place % size]).tolist() == [place % size + 1]


@pytest.mark.parametrize("column", [0, 1, 3])
def test_a_score_that_is_not_a_number_has_no_rank(column):
    scores = np.array([[4.0, 3.0, 2.0, 1.0], [4.0, 3.0, -np.inf, np.inf]])
    assert ranks_in_scores(scores, np.array([1, 0])).tolist() == [2, 2]
    scores[0, column] = np.nan
    with pytest.raises(TrainingError, match="scores of 1 of 2 cases hold NaN"):
        ranks_in_scores(scores, np.array([1, 0]))
