import numpy as np
import pytest

from lexirec.core.errors import DataError
from lexirec.data.neighbors import pair_counts
from lexirec.data.sequences import Sequences
from lexirec.semantic_ids.embeddings.svd import CollaborativeVectors

TRAIN = Sequences.from_lists([[0, 1, 2], [1, 0, 2], [3, 4], [4, 5, 3], [2, 0], [6]])
CLOSE = CollaborativeVectors(dimensions=6, window=2, gap_decay=1.0)


def test_products_are_the_balanced_counts_as_far_as_eigenvalues_are_positive():
    vectors = CLOSE.fit(TRAIN, 7).astype(np.float64)
    counts = pair_counts(TRAIN, 7, window=2, backward=1.0).toarray()
    np.fill_diagonal(counts, 0)
    roots = 1 / np.sqrt(np.maximum(counts.sum(1), 1e-9))
    values, directions = np.linalg.eigh(counts * roots[:, None] * roots * (counts > 0))
    expected = (directions * np.maximum(values, 0)) @ directions.T
    assert np.allclose(vectors @ vectors.T, expected, atol=1e-5)


def test_items_that_go_together_point_the_same_way():
    vectors = CollaborativeVectors(dimensions=2).fit(TRAIN, 7)
    unit = vectors[:6] / np.linalg.norm(vectors[:6], axis=1, keepdims=True)
    cosines = unit @ unit.T
    assert cosines[:3, :3].min() > 0.99
    assert cosines[3:, 3:].min() > 0.99
    assert np.abs(cosines[:3, 3:]).max() < 0.01


def test_who_goes_with_nobody_has_no_direction_and_signs_are_settled():
    vectors = CLOSE.fit(TRAIN, 7)
    assert vectors.shape == (7, 6)
    assert vectors.dtype == np.float32
    assert not vectors[6].any()
    assert np.array_equal(vectors, CLOSE.fit(TRAIN, 7))
    assert (vectors[np.abs(vectors).argmax(axis=0), np.arange(6)] >= 0).all()


def test_large_catalogues_are_factorised_alike():
    train = Sequences.from_lists(np.random.default_rng(0).integers(0, 700, (600, 6)).tolist())
    chosen = CollaborativeVectors(dimensions=350)
    large, small = chosen.model_copy(update={"dimensions": 40}).fit(train, 700), chosen.fit(train, 700)
    products = large @ large.T, small[:, :40] @ small[:, :40].T
    assert np.allclose(*products, atol=1e-3)


def test_without_any_pair_there_is_nothing_to_factorise():
    with pytest.raises(DataError, match="none of the 2 training sequences has two different items"):
        CollaborativeVectors().fit(Sequences.from_lists([[1], [0]]), 2)
