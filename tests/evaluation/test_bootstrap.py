import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import binom
from scipy.stats import t as student

from lexirec.core.errors import SettingsError
from lexirec.evaluation.bootstrap import Bootstrap, Resampled


def resampled(*arms, cases=None, replicates=2000, **options):
    rows = [np.atleast_2d(np.asarray(arm, dtype=float)) for arm in arms]
    ones = np.ones(rows[0].shape[1]) if cases is None else np.asarray(cases, dtype=float)
    return Resampled.of(rows, ones, Bootstrap(replicates, **options))


@pytest.mark.parametrize("users", [200, 3000])
def test_replicates_spread_as_theory_says_however_many_sorts_of_users_there_are(users):
    sums = np.random.default_rng(0).exponential(size=users)
    found = resampled(sums, replicates=4000)
    assert_allclose(found.standard_error, sums.std(ddof=1) / users**0.5)
    assert_allclose(found.replicates.std(), found.standard_error, rtol=0.05)
    assert_allclose(found.replicates.mean(), sums.mean(), atol=4 * found.standard_error / 4000**0.5)


def test_recall_of_users_with_one_case_has_the_quantiles_of_the_binomial():
    hits = np.repeat([1.0, 0.0], [100, 900])
    low, high = resampled(hits, replicates=20_000).percentiles()
    assert_allclose([low, high], binom.ppf([0.025, 0.975], 1000, 0.1) / 1000, atol=0.0011)


def test_users_count_by_their_cases():
    found = resampled([4.0, 0.0, 1.0], cases=[4, 1, 1])
    assert_allclose(found.value, 5 / 6)
    assert found.replicates.min() >= 0
    assert found.replicates.max() <= 1
    assert_allclose(found.influence.sum(), 0, atol=1e-12)


def test_intervals_are_the_same_for_the_same_seed_only():
    sums = np.random.default_rng(1).normal(size=300)
    assert resampled(sums).percentiles() == resampled(sums).percentiles()
    assert resampled(sums).percentiles() != resampled(sums, seed=1).percentiles()


def test_the_corrected_interval_leans_to_the_long_tail():
    sums = np.random.default_rng(2).exponential(size=100) ** 3
    found = resampled(sums)
    assert found.corrected()[0] > found.percentiles()[0]
    assert found.corrected()[1] > found.percentiles()[1]
    flat = resampled(np.random.default_rng(3).normal(size=5000))
    assert_allclose(flat.corrected(), flat.percentiles(), atol=0.25 * flat.standard_error)


def test_no_difference_at_all_is_no_difference():
    found = resampled(np.zeros(50), np.zeros(50))
    assert found.percentiles() == found.corrected() == (0.0, 0.0)
    assert found.p_value() == 1.0


def test_few_differing_users_are_judged_by_their_signs():
    sums = np.zeros(5000)
    sums[:4] = 1.0
    assert_allclose(resampled(sums, replicates=20_000).p_value(), 2 * 0.5**4, atol=0.01)


def test_the_sign_of_the_difference_does_not_change_p():
    sums = np.random.default_rng(4).normal(0.1, 1, size=400)
    assert_allclose(resampled(sums).p_value(), resampled(-sums).p_value(), atol=0.01)


def test_seeds_that_differ_widen_and_their_mere_noise_does_not():
    rng = np.random.default_rng(5)
    noisy = rng.normal(size=(3, 4000))
    noisy -= noisy.mean(axis=1, keepdims=True)
    assert_allclose(resampled(noisy).standard_error, resampled(noisy.mean(axis=0)).standard_error)
    apart = noisy + np.array([[-0.5], [0.0], [0.5]])
    found = resampled(apart)
    assert_allclose(found.standard_error, 0.5 / 3**0.5, rtol=0.02)
    assert 2 <= found.freedom < 2.1
    assert found.percentiles()[1] > 4 * found.standard_error, "two degrees of freedom: 4.3, not 1.96 standard errors"


def test_replicates_of_several_seeds_hold_the_seeds_noise():
    """Users agree, seeds do not: a resampling of users alone would take the difference for certain."""
    rng = np.random.default_rng(6)
    users = rng.normal(0.05, 0.2, size=2000)
    seeds = users + np.array([[-0.1], [0.0], [0.1]])
    found = resampled(seeds, replicates=40_000)
    spread = np.diff(np.quantile(found.replicates, [0.25, 0.75])) / np.diff(student.ppf([0.25, 0.75], found.freedom))
    assert_allclose(spread, found.standard_error, rtol=0.05)
    assert found.p_value() > 0.3
    assert resampled(seeds.mean(axis=0)).p_value() < 0.001


def test_the_noise_of_measuring_is_not_taken_for_a_difference_of_seeds():
    """Seeds that are equal but for chance: the estimate is cut at 0, which adds 1/e on average, not as much again."""
    rng, ratios = np.random.default_rng(7), []
    for _ in range(300):
        found = resampled(rng.normal(size=(3, 500)), replicates=100)
        ratios.append(found.standard_error**2 * 3 * 500)
    assert_allclose(np.mean(ratios), 1 + np.exp(-1), atol=0.15)


@pytest.mark.parametrize("wrong", [{"replicates": 20}, {"level": 1.0}, {"level": 0}])
def test_what_gives_no_interval_is_refused(wrong):
    with pytest.raises(SettingsError, match="replicates must be 100 or more, level between 0 and 1"):
        Bootstrap(**wrong)
