"""The bound of all looks against random walks, and against what it is made of."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lexirec.evaluation.sequential import always_valid_detectable, always_valid_radius


def crossings(increments: np.ndarray, planned: float, comparisons: int = 1) -> float:
    """The share of walks (rows) whose mean is beyond the bound at any look (columns)."""
    steps = np.arange(1, increments.shape[1] + 1)
    means = increments.cumsum(axis=1) / steps
    radii = [always_valid_radius(1 / math.sqrt(step), planned, comparisons=comparisons) for step in steps]
    return float((np.abs(means) > radii).any(axis=1).mean())


@pytest.mark.parametrize("planned", [0.03, 0.1, 1.0])
def test_equal_variants_are_beyond_the_bound_in_few_walks_whatever_is_planned(planned):
    walks = np.random.default_rng(0).normal(size=(2_000, 1_000))
    assert crossings(walks, planned) <= 0.05
    assert crossings(walks, planned, comparisons=5) <= 0.012


def test_an_interval_of_one_look_does_not_do():
    walks = np.random.default_rng(0).normal(size=(2_000, 1_000))
    means = walks.cumsum(axis=1) / np.arange(1, 1_001)
    assert (np.abs(means) > 1.96 / np.sqrt(np.arange(1, 1_001))).any(axis=1).mean() > 0.3


def test_a_difference_of_the_planned_size_needs_about_three_standard_errors():
    radius = always_valid_radius(1.0, 3.0)
    assert 2.9 < radius < 3.2
    assert always_valid_radius(2.0, 6.0) == pytest.approx(2 * radius)
    assert always_valid_detectable(radius, 1.0) == pytest.approx(radius + 0.8416, abs=1e-3)


def test_data_that_show_nothing_have_no_bound():
    assert always_valid_radius(0.0, 1.0) == math.inf
    assert always_valid_radius(1.0, 0.0) == math.inf
