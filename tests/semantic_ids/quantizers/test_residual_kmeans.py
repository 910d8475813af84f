import numpy as np
import pytest

from lexirec.core.errors import DataError
from lexirec.semantic_ids.quantizers.collisions import CollisionSettings
from lexirec.semantic_ids.quantizers.residual_kmeans import ResidualKMeans
from tests.semantic_ids.quantizers.test_hierarchical_kmeans import same_partition


def sums(sizes=(4, 3, 3), each=2, seed=0):
    """Vectors that are sums of one point per level, each level far smaller than the one before: codes are known."""
    rng = np.random.default_rng(seed)
    points = [rng.normal(size=(size, 6)) * 10.0**-level for level, size in enumerate(sizes)]
    values = np.stack(np.meshgrid(*[np.arange(size) for size in sizes]), axis=-1).reshape(-1, len(sizes))
    values = np.repeat(values, each, axis=0)
    vectors = sum(points[level][values[:, level]] for level in range(len(sizes)))
    return (vectors + rng.normal(size=vectors.shape) * 1e-6).astype(np.float32), values


def test_the_points_that_vectors_are_sums_of_are_found():
    vectors, values = sums(sizes=(4, 4))
    codebook = ResidualKMeans(levels=2, branching=4, n_init=10).fit(vectors)
    assert same_partition(codebook.codes.cells(0), values[:, 0])
    assert same_partition(codebook.codes.cells(1), values[:, 1])
    assert codebook.codes.values.shape == (32, 3)  # the pairs of twins are told apart
    assert codebook.report.reconstruction_error < 1e-6
    assert (codebook.assign(vectors) == codebook.codes.values[:, :2]).all()


@pytest.mark.parametrize("more", [{}, {"balanced": True}, {"minibatch_above": 50}])
def test_a_seed_fixes_the_codes(more):
    vectors = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    settings = ResidualKMeans(levels=2, branching=8, seed=3, **more)
    first, again = settings.fit(vectors).codes.values, settings.fit(vectors).codes.values
    other = settings.model_copy(update={"seed": 4}).fit(vectors).codes.values
    assert (first == again).all()
    assert first.shape != other.shape or (first != other).any()


def test_balanced_codes_are_used_alike_and_collide_less():
    vectors = np.random.default_rng(0).lognormal(size=(320, 5)).astype(np.float32)
    plain = ResidualKMeans(levels=2, branching=16).fit(vectors).report
    balanced = ResidualKMeans(levels=2, branching=16, balanced=True).fit(vectors).report
    assert [level.counts.tolist() for level in balanced.levels] == [[20] * 16] * 2
    assert balanced.collisions.before.items < plain.collisions.before.items
    assert balanced.reconstruction_error > plain.reconstruction_error


@pytest.mark.parametrize("rule", ["level", "nearest-free", "sinkhorn"])
def test_every_item_has_codes_of_its_own(rule):
    vectors = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    vectors[50:60] = vectors[40]
    settings = ResidualKMeans(levels=2, branching=16, collisions=CollisionSettings(rule=rule))
    codebook = settings.fit(vectors)
    assert len(np.unique(codebook.codes.values, axis=0)) == 200
    assert codebook.report.collisions.before.items > 0
    assert codebook.report.collisions.after.items == 0


def test_tiny_catalogues_have_a_code_per_item():
    codebook = ResidualKMeans(levels=2, branching=256).fit(np.eye(5))
    assert [len(points) for points in codebook.centroids] == [5, 5]
    assert len(np.unique(codebook.codes.values[:, 0])) == 5
    assert len(ResidualKMeans(balanced=True).fit(np.ones((3, 2))).codes) == 3


def test_unusable_vectors_are_refused():
    with pytest.raises(DataError, match="not finite"):
        ResidualKMeans().fit(np.full((3, 2), np.nan))
