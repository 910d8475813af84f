import numpy as np
import pytest

from lexirec.core.errors import DataError
from lexirec.semantic_ids.quantizers.hierarchical_kmeans import HierarchicalKMeans


def blobs(groups=4, subgroups=3, size=5, seed=0):
    """Groups far apart, subgroups near each other, items nearer still: the right tree is known."""
    rng = np.random.default_rng(seed)
    group, subgroup = np.divmod(np.repeat(np.arange(groups * subgroups), size), subgroups)
    centers = rng.normal(size=(groups, 8)) * 100
    offsets = rng.normal(size=(groups, subgroups, 8)) * 10
    vectors = centers[group] + offsets[group, subgroup] + rng.normal(size=(len(group), 8)) * 0.1
    return vectors.astype(np.float32), group, subgroup


def same_partition(first, second):
    pairs = len(np.unique(np.stack([first, second]), axis=1).T)
    return pairs == len(np.unique(first)) == len(np.unique(second))


def test_groups_within_groups_are_found():
    vectors, group, _ = blobs(groups=4, subgroups=4)
    codes = HierarchicalKMeans(branching=4, levels=4, n_init=10).fit(vectors).codes
    assert same_partition(codes.cells(0), group)
    assert same_partition(codes.cells(1), np.repeat(np.arange(16), 5))
    assert (codes.counts(3) == 1).all()


def test_small_clusters_give_every_item_its_own_child_in_catalogue_order_then_zeros():
    vectors, group, _ = blobs(groups=6, subgroups=1, size=6)
    shuffled = np.random.default_rng(1).permutation(len(vectors))
    codes = HierarchicalKMeans(branching=6, levels=5, n_init=10).fit(vectors[shuffled]).codes
    assert same_partition(codes.cells(0), group[shuffled])
    for cell in range(6):
        assert codes.values[codes.cells(0) == cell, 1].tolist() == list(range(6))
    assert not codes.values[:, 2:].any()


def test_stop_rules_differ_at_exactly_the_branching_number():
    vectors = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    at_most = HierarchicalKMeans(branching=8, levels=2).fit(vectors).codes
    below = HierarchicalKMeans(branching=8, levels=2, stop="below").fit(vectors).codes
    assert at_most.values[:, 0].tolist() == list(range(8))  # numbered in catalogue order, not clustered
    assert below.values[:, 0].tolist() != list(range(8))
    assert sorted(below.values[:, 0]) == list(range(8))


@pytest.mark.parametrize("minibatch_above", [10, 1000])
def test_a_seed_fixes_the_codes(minibatch_above):
    vectors = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    settings = HierarchicalKMeans(branching=5, levels=4, seed=3, minibatch_above=minibatch_above)
    first, again = settings.fit(vectors).codes.values, settings.fit(vectors).codes.values
    other = settings.model_copy(update={"seed": 4}).fit(vectors).codes.values
    assert (first == again).all()
    assert (first != other).any()


def test_equal_items_end_in_one_cell_and_tiny_catalogues_work():
    codes = HierarchicalKMeans(branching=2, levels=3).fit(np.ones((5, 4))).codes
    assert codes.counts(2).tolist() == [5]
    assert HierarchicalKMeans(levels=2).fit(np.ones((1, 4))).codes.values.tolist() == [[0, 0]]


def test_new_items_take_the_path_of_the_items_they_lie_among():
    vectors, _, _ = blobs()
    tree = HierarchicalKMeans(branching=4, levels=4, n_init=10).fit(vectors)
    near = vectors + np.float32(1e-4)
    assert (tree.assign(near) == tree.codes.values).all()
    assert tree.assign(near[7:8]).tolist() == [tree.codes.values[7].tolist()]


def test_vectors_that_cannot_be_clustered_are_refused():
    bad = np.ones((4, 2))
    bad[2, 1] = np.nan
    with pytest.raises(DataError, match="row 2 is not finite"):
        HierarchicalKMeans().fit(bad)
    with pytest.raises(DataError, match="matrix of floats"):
        HierarchicalKMeans().fit(np.ones(3))
    with pytest.raises(DataError, match="new vectors have 3 dimensions, the tree 2"):
        HierarchicalKMeans().fit(np.ones((4, 2))).assign(np.ones((1, 3)))
