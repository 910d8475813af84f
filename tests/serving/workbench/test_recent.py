"""Intervals of the last minutes: counts, percentiles within the steps, nothing beyond a quarter of an hour."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from lexirec.serving.workbench.recent import KEPT, SECONDS, Recent
from tests.serving.conftest import Clock


def test_without_requests_there_is_one_empty_interval():
    recent = Recent(Clock())
    (only,) = recent.intervals()
    assert (only.lists, only.p50, only.events) == (0, None, 0)
    assert recent.percentile(0.99) is None


def test_percentiles_are_within_the_steps():
    recent = Recent(Clock())
    values = np.random.default_rng(0).lognormal(-3, 1, 2_000)
    for value in values:
        recent.answered(float(value))
    for share in (0.5, 0.99):
        assert recent.percentile(share) == pytest.approx(1000 * np.quantile(values, share), rel=0.13)


def test_intervals_have_no_gaps_and_old_ones_are_forgotten():
    clock = Clock()
    recent = Recent(clock)
    recent.answered(0.01)
    recent.fell_back()
    clock.now += 3 * SECONDS
    recent.answered(0.02)
    recent.received(5)
    intervals = recent.intervals()
    assert [each.lists for each in intervals] == [1, 0, 0, 1]
    assert [each.fallbacks for each in intervals] == [1, 0, 0, 0]
    assert [each.events for each in intervals] == [0, 0, 0, 5]
    assert {b.time - a.time for a, b in pairwise(intervals)} == {SECONDS}
    clock.now += KEPT * SECONDS
    assert sum(each.lists for each in recent.intervals()) == 0
    assert recent.percentile(0.5) is None


def test_a_clock_that_goes_back_loses_nothing():
    clock = Clock()
    recent = Recent(clock)
    recent.answered(0.01)
    clock.now -= 100
    recent.answered(0.01)
    clock.now += 100
    assert sum(each.lists for each in recent.intervals()) == 2
