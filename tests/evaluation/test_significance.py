import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from lexirec.core.errors import DataError, SettingsError
from lexirec.evaluation import metrics
from lexirec.evaluation.bootstrap import Bootstrap
from lexirec.evaluation.significance import compare_ranks, estimate_ranks, gains_by_rank, holm

QUICK = Bootstrap(replicates=800)


def changed(ranks, share_up, share_down, rng):
    """Return ranks where some targets have come to the first ten and some have left them."""
    drawn = rng.random(ranks.shape)
    found = np.where(drawn < share_up, rng.integers(1, 11, ranks.shape), ranks)
    return np.where(drawn > 1 - share_down, 0, found)


def simulated(rng, users=2000, cases=1, hits=0.1):
    ranks = np.where(rng.random(users * cases) < hits, rng.integers(1, 11, users * cases), 0)
    return ranks, np.repeat(np.arange(users), cases)


@pytest.mark.parametrize("metric", ["recall", "ndcg", "mrr"])
def test_values_are_those_of_the_metrics(metric):
    rng = np.random.default_rng(0)
    ranks = rng.integers(0, 51, (3, 500))
    users = rng.integers(0, 100, 500)
    means = [getattr(metrics, metric)(row, 10) for row in ranks]
    found = estimate_ranks(ranks, users, metric=metric, bootstrap=QUICK)
    assert_allclose(found.seeds, means)
    assert_allclose(found.value, np.mean(means))
    assert_allclose(found.spread, np.std(means, ddof=1))
    difference = compare_ranks(ranks[0], ranks[1], users, metric=metric, bootstrap=QUICK)
    assert_allclose(difference.value, means[0] - means[1])
    assert_allclose(difference.relative, means[0] / means[1] - 1)


def test_effects_by_hand():
    found = compare_ranks(np.array([1, 1, 0, 5]), np.array([0, 0, 1, 7]), np.array([7, 7, 9, 4]), metric="recall")
    assert (found.users, found.cases) == (3, 4)
    assert_allclose(found.value, 0.25)
    assert_allclose([found.better, found.worse], 1 / 3)
    assert_allclose(found.effect, 0.0, atol=1e-12)  # users' means 1, −1, 0
    assert_allclose(found.relative, 0.5)
    assert np.isnan(compare_ranks(np.array([1, 2]), np.array([0, 0]), np.arange(2)).relative)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """A share `up` of the cases is found for sure, a share `down` is lost: that tells the true difference."""
    rng = np.random.default_rng(1)
    up, down, hits, held = 0.03, 0.02, 0.1, 0
    truth = up * (1 - hits) - down * hits
    for _ in range(300):
        ranks, users = simulated(rng)
        found = compare_ranks(changed(ranks, up, down, rng), ranks, users, metric="recall", bootstrap=QUICK)
        held += found.interval[0] <= truth <= found.interval[1]
    assert 0.95 - 3.5 * (0.95 * 0.05 / 300) ** 0.5 <= held / 300 <= 0.99


def test_a_planted_effect_of_5_percent_is_found_and_none_is_found_where_none_is():
    """1,000 simulated test sets: half with a system that is 5 % better, half with two that differ by chance alone."""
    rng = np.random.default_rng(2)
    found = {"planted": 0, "null": 0}
    for _ in range(500):
        ranks, users = simulated(rng, users=6000)
        better = changed(ranks, 0.0111, 0.05, rng)  # .0111 · .9 − .05 · .1 = .005 of .1
        found["planted"] += compare_ranks(better, ranks, users, metric="recall", bootstrap=QUICK).p_value < 0.05
        ranks, users = simulated(rng, users=3000)
        alike = [changed(ranks, 0.02, 0.05, rng) for _ in range(2)]
        found["null"] += compare_ranks(*alike, users, bootstrap=QUICK).p_value < 0.05
    assert found["planted"] / 500 > 0.8
    assert abs(found["null"] / 500 - 0.05) < 3.5 * (0.05 * 0.95 / 500) ** 0.5


def test_what_is_detectable_is_found_in_four_of_five_test_sets():
    rng = np.random.default_rng(3)
    ranks, users = simulated(rng, users=3000)
    detectable = compare_ranks(changed(ranks, 0.02, 0.05, rng), ranks, users, metric="recall").detectable()
    share = (detectable + 0.05 * ranks.astype(bool).mean()) / (1 - ranks.astype(bool).mean())
    tests = [
        compare_ranks(changed(ranks, share, 0.05, rng), ranks, users, metric="recall", bootstrap=QUICK)
        for _ in range(200)
    ]
    assert abs(np.mean([test.p_value < 0.05 for test in tests]) - 0.8) < 0.1
    assert tests[0].detectable(comparisons=10) > tests[0].detectable() > tests[0].detectable(power=0.5)


def test_users_with_many_like_cases_widen_the_interval():
    rng = np.random.default_rng(4)
    ranks, users = simulated(rng, users=300)
    other = changed(ranks, 0.1, 0.1, rng)
    many = [np.repeat(row, 10) for row in (other, ranks, users)]
    clustered = compare_ranks(*many, bootstrap=QUICK)
    as_if_apart = compare_ranks(many[0], many[1], np.arange(3000), bootstrap=QUICK)
    width = lambda found: found.interval[1] - found.interval[0]  # noqa: E731
    assert_allclose(width(clustered) / width(as_if_apart), 10**0.5, rtol=0.15)
    assert_allclose(width(clustered), width(compare_ranks(other, ranks, users, bootstrap=QUICK)), rtol=0.1)


def test_many_users_take_seconds_at_most():
    rng = np.random.default_rng(5)
    ranks, users = simulated(rng, users=22_000, cases=3)
    found = compare_ranks(changed(ranks, 0.05, 0.05, rng), ranks, users)
    assert found.users == 22_000
    assert found.interval[0] < found.value < found.interval[1]


def test_seeds_need_not_be_as_many():
    rng = np.random.default_rng(6)
    ranks, users = simulated(rng)
    seeds = np.stack([changed(ranks, 0.02, 0.1, rng) for _ in range(4)])
    found = compare_ranks(seeds, ranks, users, bootstrap=QUICK)
    assert found.seeds == (4, 1)
    assert_allclose(found.value, np.mean([metrics.ndcg(row, 10) for row in seeds]) - metrics.ndcg(ranks, 10))


def test_holm_by_hand():
    assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert_allclose(holm([0.5, 0.9]), [1.0, 1.0])
    assert holm([]).shape == (0,)
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([1.5])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_never_lowers_and_keeps_the_order(values):
    adjusted = holm(values)
    assert (adjusted >= np.array(values)).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(values)]) >= 0).all()


def test_gains_by_rank():
    assert_allclose(gains_by_rank("mrr", 3), [0, 1, 1 / 2, 1 / 3])
    with pytest.raises(SettingsError, match=r"metric 'ndgc@10': .*Did you mean 'ndcg'\?"):
        gains_by_rank("ndgc", 10)
    with pytest.raises(SettingsError, match="at 1 or more"):
        gains_by_rank("ndcg", 0)


@pytest.mark.parametrize(
    ("a", "b", "users", "message"),
    [
        (np.ones(3, int), np.ones(4, int), np.arange(3), "differ in shape"),
        (np.ones(3, int), np.ones(3, int), np.arange(4), "differ in shape"),
        (np.ones((0, 3), int), np.ones(3, int), np.arange(3), "differ in shape"),
        (np.ones(3, int), np.ones(3, int), np.zeros(3, int), "need at least two"),
    ],
)
def test_what_does_not_belong_together_is_refused(a, b, users, message):
    with pytest.raises(DataError, match=message):
        compare_ranks(a, b, users)
