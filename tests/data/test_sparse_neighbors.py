import numpy as np
import pytest
from scipy import sparse

from lexirec.data import neighbors, sparse_neighbors
from lexirec.data.neighbors import Neighbors, nearest, top_k, unit_rows
from lexirec.data.sparse_neighbors import best_of_rows, nearest_by_index, products_work, row_blocks


def texts_like(rows=400, words=300, seed=0):
    """Rows of few columns, of which the first ones are frequent."""
    rng = np.random.default_rng(seed)
    column = (words ** rng.random((rows, 12))).astype(np.int64) - 1
    values = 1 / (1 + np.arange(words, dtype=np.float32))[::-1][column]
    made = sparse.csr_array((values.ravel(), (np.repeat(np.arange(rows), 12), column.ravel())), shape=(rows, words))
    made.sum_duplicates()
    return made.astype(np.float32)


def test_the_best_of_sparse_rows_are_those_of_dense_rows():
    rng = np.random.default_rng(1)
    dense = rng.integers(0, 4, (60, 500)).astype(np.float32) * (rng.random((60, 500)) < rng.random((60, 1)))
    own = rng.integers(0, 500, 60)
    found = best_of_rows(sparse.csr_array(dense), 7, without=own)
    dense[np.arange(60), own] = 0
    items, scores = top_k(np.where(dense > 0, dense, -np.inf), 7)
    assert found.items.tolist() == items.tolist()
    assert found.scores.tolist() == np.where(items >= 0, scores, 0).tolist()


def test_rows_are_divided_by_their_work():
    assert [block.tolist() for block in row_blocks(np.array([3, 3, 9, 1, 1, 1]), 6)] == [[0, 1], [2], [3, 4, 5]]


def test_the_work_of_a_product_is_what_its_rows_touch():
    left, right = texts_like(30, 20), texts_like(20, 30, seed=2)
    expected = [np.diff(right.indptr)[left.indices[a:b]].sum() for a, b in zip(left.indptr, left.indptr[1:])]
    assert products_work(left, right).tolist() == expected


def test_sparse_and_dense_paths_find_the_same_neighbours(monkeypatch):
    rows = texts_like()
    dense = nearest(rows, 10)
    monkeypatch.setattr(neighbors, "LARGE", 100)
    monkeypatch.setattr(sparse_neighbors, "_WORK", 5_000)  # several blocks
    found = nearest(rows, 10)
    positive = dense.scores > 0
    assert found.recall is None
    assert found.items.tolist() == np.where(positive, dense.items, -1).tolist()
    assert found.scores.tolist() == np.where(positive, dense.scores, 0).tolist()


def test_an_index_of_short_lists_finds_nearly_all_and_says_how_many(monkeypatch, tmp_path):
    rows = texts_like(2000, 1500)
    exact = nearest(rows, 10)
    monkeypatch.setattr(neighbors, "LARGE", 100)
    monkeypatch.setattr(sparse_neighbors, "EXACT_WORK", 1)
    found = nearest(rows, 10)
    common = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.items.tolist(), exact.items.tolist())])
    assert found.recall > 0.9
    assert found.recall == pytest.approx(common, abs=0.05)
    few = nearest_by_index(unit_rows(rows)[0], 10, postings=3)
    assert few.recall < found.recall
    found.save(tmp_path)
    assert Neighbors.load(tmp_path).recall == found.recall
    assert found.first(3).recall == found.recall


def test_an_index_with_whole_lists_is_exact():
    unit = unit_rows(texts_like(300, 200))[0]
    whole = nearest_by_index(unit, 5, postings=300)
    exact = nearest(texts_like(300, 200), 5)
    assert whole.recall == 1.0
    assert np.abs(whole.scores - exact.scores).max() < 1e-5
