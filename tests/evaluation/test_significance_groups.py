import numpy as np
import pytest

from lexirec.evaluation.bootstrap import Bootstrap, Resampled
from lexirec.evaluation.significance import compare_groups

FEW = Bootstrap(replicates=1_000)


def resampled(rng, users, rate, lists=3):
    return Resampled.of([rng.binomial(lists, rate, users)[None, :].astype(float)], np.full(users, float(lists)), FEW)


def test_a_difference_of_groups_by_hand():
    rng = np.random.default_rng(0)
    a, b = resampled(rng, 900, 0.3), resampled(rng, 400, 0.2)
    found = compare_groups(a, b)
    assert found.value == pytest.approx(a.value - b.value)
    assert found.standard_error == pytest.approx(np.hypot(a.standard_error, b.standard_error))
    assert found.interval == pytest.approx(
        (found.value - 1.96 * found.standard_error, found.value + 1.96 * found.standard_error), abs=0.004
    )
    assert 400 < found.freedom < 1300
    assert found.detectable() == pytest.approx((1.96 + 0.84) * found.standard_error, rel=0.01)
    assert found.detectable(comparisons=5) > found.detectable()


def test_groups_that_were_drawn_with_one_seed_are_independent_nevertheless():
    sums = np.random.default_rng(1).binomial(3, 0.3, 500).astype(float)[None, :]
    one, other = (Resampled.of([sums], np.full(500, 3.0), FEW) for _ in range(2))
    low, high = compare_groups(one, other).interval
    assert low < -one.standard_error < one.standard_error < high


def test_intervals_of_groups_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(300):
        low, high = compare_groups(resampled(rng, 200, 0.25), resampled(rng, 100, 0.2)).interval
        held += low <= 0.05 <= high
    assert 0.92 <= held / 300 <= 0.98


def test_groups_without_any_gain_do_not_differ():
    nothing = Resampled.of([np.zeros((1, 10))], np.ones(10), FEW)
    found = compare_groups(nothing, nothing)
    assert (found.value, found.interval, found.detectable()) == (0.0, (0.0, 0.0), 0.0)
