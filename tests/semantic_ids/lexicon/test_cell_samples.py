import numpy as np
import pytest
from scipy import sparse

from lexirec.semantic_ids.lexicon.cell_samples import choose_items, distances_to_centre, entries_at, indicator


def test_items_come_by_rank_and_no_more_than_asked():
    cells = np.array([1, 0, 1, 1, 0])
    chosen = choose_items(cells, np.array([0.3, 0.2, 0.1, 0.3, 0.2]), 2)
    assert [chosen.row(cell).tolist() for cell in range(2)] == [[1, 4], [2, 0]]


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_distances_are_cosines_to_the_mean_of_the_cell(kind):
    rng = np.random.default_rng(0)
    rows = rng.random((20, 5)) * (rng.random((20, 5)) < 0.6)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    cells = rng.integers(0, 4, 20)
    found = distances_to_centre(kind(rows), cells)
    for item, cell in enumerate(cells):
        centre = rows[cells == cell].mean(axis=0)
        assert found[item] == pytest.approx(1 - rows[item] @ centre / np.linalg.norm(centre))


def test_entries_are_looked_up_and_absent_ones_are_zero():
    dense = np.array([[0.0, 2.0, 0.0], [3.0, 0.0, 4.0]])
    rows, columns = np.repeat([0, 1], 3), np.tile([0, 1, 2], 2)
    assert entries_at(sparse.csr_array(dense), rows, columns).tolist() == dense.ravel().tolist()
    assert entries_at(sparse.csr_array((2, 3)), rows, columns).tolist() == [0.0] * 6


def test_the_indicator_sums_by_group():
    assert (indicator(np.array([1, 0, 1])) @ np.array([1.0, 2.0, 4.0])).tolist() == [2.0, 5.0]
