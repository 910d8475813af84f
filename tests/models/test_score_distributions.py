import numpy as np
import pytest

from lexirec.core.errors import TrainingError
from lexirec.models.score_distributions import boosted, log_floored, log_softmax, shares


def test_shares_sum_to_one_and_nothing_is_negative():
    given = np.array([[1.0, 3.0, -2.0], [0.0, 0.0, -1.0], [-np.inf, 2.0, 2.0]])
    np.testing.assert_allclose(shares(given), [[0.25, 0.75, 0], [0, 0, 0], [0, 0.5, 0.5]])


def test_a_floor_leaves_a_distribution_in_which_everything_is_possible():
    logs = log_floored(shares(np.array([[1.0, 3.0, 0.0], [0.0, 0.0, 0.0]])), 0.01, 3)
    probabilities = np.exp(logs)
    np.testing.assert_allclose(probabilities[0], np.array([0.26, 0.76, 0.01]) / 1.03, rtol=1e-5)
    assert np.ptp(probabilities[1]) == 0, "who knows nothing says nothing"
    np.testing.assert_allclose(probabilities[0].sum(), 1, rtol=1e-5)


def test_logits_become_log_probabilities_and_rule_nothing_out():
    logs = log_softmax(np.array([[1.0, 2.0, 3.0], [0.0, -np.inf, 500.0]]))
    np.testing.assert_allclose(np.exp(logs[0]).sum(), 1, rtol=1e-6)
    assert np.isfinite(logs).all()
    assert logs[1].argmax() == 2


def test_a_temperature_would_only_rescale_the_weight():
    logits = np.random.default_rng(0).normal(size=(4, 6))
    tempered, plain = log_softmax(logits / 2), log_softmax(logits)
    np.testing.assert_allclose(np.diff(3 * tempered, axis=1), np.diff(1.5 * plain, axis=1), atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("function", [shares, log_softmax])
def test_scores_that_are_no_numbers_are_refused_not_counted_as_none(bad, function):
    scores = np.array([[0.0, 1.0, 2.0], [0.0, 1.0, -np.inf], [bad, 1.0, 2.0]], dtype=np.float32)
    assert np.isfinite(function(scores[:2])).all()
    with pytest.raises(TrainingError, match=r"scores of the part 'x' are NaN or infinite for 1 of 3 histories"):
        function(scores, of="the part 'x'")


def test_a_boost_is_added_to_the_logarithm_of_the_share():
    scores = np.array([[6.0, 3.0, 1.0, 0.0, -2.0, -4.0, -np.inf], [5.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]], np.float32)
    boosts = np.zeros((2, 7), np.float32)
    boosts[0] = [0, np.log(3), 0, 0, 0, 1.5, 5]
    changed = boosted(scores, boosts, logits=False)
    assert np.array_equal(changed[1], scores[1]), "a row without boosts keeps its scores"
    plain = log_floored(shares(scores[:1]), 1e-4, 7)[0]
    np.testing.assert_allclose(changed[0, :4], plain[:4] + boosts[0, :4], atol=1e-6)
    assert changed[0, 1] > changed[0, 0], "three times as much is more than twice as much"
    assert changed[0, 5] > changed[0, 3] > changed[0, 4], "negative scores keep their order below the floor"
    assert changed[0, 6] == -np.inf, "the impossible stays so"
    for_all = boosted(scores, boosts[0], logits=False)
    assert np.array_equal(for_all[0], changed[0])
    assert (for_all[1] != scores[1]).all()


def test_negative_scores_keep_their_order_where_no_score_is_positive():
    scores = np.array([[-3.0, -1.0, -2.0, -1.5]], np.float32)
    changed = boosted(scores, np.array([0, 0, 0, 0.1], np.float32), logits=False)
    assert np.argsort(-changed[0]).tolist() == [1, 3, 2, 0]


def test_logits_take_a_boost_as_it_is():
    scores = np.array([[1.0, -2.0]], np.float32)
    np.testing.assert_allclose(boosted(scores, np.array([0.5, 4], np.float32), logits=True), [[1.5, 2.0]])


def test_nothing_is_boosted_where_a_score_is_no_number():
    with pytest.raises(TrainingError, match="scores of the recommender are NaN"):
        boosted(np.array([[np.nan, 1.0]], np.float32), np.ones(2, np.float32), logits=False)


def test_shares_of_added_items_take_nothing_from_the_others():
    scores = np.array([[1.0, 3.0, 4.0, 0.0], [0, 0, 2, 0]], dtype=np.float32)
    found = shares(scores, trained=2)
    np.testing.assert_allclose(found[0], [0.25, 0.75, 0.5, 0])
    np.testing.assert_allclose(found[1], [0, 0, 1, 0])
