import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from lexirec.semantic_ids.quantizers import assignment
from lexirec.semantic_ids.quantizers.assignment import balanced_kmeans, balanced_labels, cell_means, squared_distances


def clusters(n, k, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(k, 8)).astype(np.float32)
    crowded = rng.choice(k, size=n, p=np.arange(k, 0, -1) / (k * (k + 1) / 2))  # some wanted far more than others
    return (centers[crowded] + rng.normal(size=(n, 8)) * 0.8).astype(np.float32), centers


@pytest.mark.parametrize(("n", "k"), [(240, 12), (250, 12), (12, 12), (30, 1), (31, 16)])
def test_sizes_differ_by_one_at_most(n, k):
    vectors, centers = clusters(n, k)
    sizes = np.bincount(balanced_labels(vectors, centers), minlength=k)
    assert sizes.max() - sizes.min() <= 1
    assert sizes.sum() == n


def test_the_assignment_costs_hardly_more_than_the_best():
    vectors, centers = clusters(240, 12)
    costs = squared_distances(vectors, centers)
    found = costs[np.arange(240), balanced_labels(vectors, centers)].sum()
    rows, places = linear_sum_assignment(np.repeat(costs, 20, axis=1))
    assert found <= 1.015 * costs[rows, places // 20].sum()


def test_large_catalogues_are_dealt_out_and_stay_balanced(monkeypatch):
    vectors, centers = clusters(250, 12)
    monkeypatch.setattr(assignment, "_BLOCK", 37)
    labels = balanced_labels(vectors, centers, seed=3)
    sizes = np.bincount(labels, minlength=12)
    assert sizes.max() - sizes.min() <= 1
    assert (labels == balanced_labels(vectors, centers, seed=3)).all()


def test_balanced_clusters_are_centred_on_their_members():
    vectors, start = clusters(240, 12)
    centers, labels = balanced_kmeans(vectors, start, rounds=20, seed=0)
    assert (np.bincount(labels) == 20).all()
    assert np.allclose(centers, [vectors[labels == cell].mean(axis=0) for cell in range(12)], atol=1e-5)
    first = balanced_labels(vectors, start)
    spread = ((vectors - cell_means(vectors, first, 12)[first]) ** 2).sum()
    assert ((vectors - centers[labels]) ** 2).sum() < spread
