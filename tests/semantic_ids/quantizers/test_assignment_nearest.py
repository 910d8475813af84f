from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from lexirec.core.errors import DataError
from lexirec.semantic_ids.quantizers import assignment
from lexirec.semantic_ids.quantizers.assignment import (
    blocks,
    finite_matrix,
    nearest_codes,
    squared_distances,
    whole_groups,
)

RNG = np.random.default_rng(0)
ROWS, CODES = RNG.normal(size=(50, 4)).astype(np.float32), RNG.normal(size=(7, 4)).astype(np.float32)


def test_distances_are_those_of_scipy_and_never_negative():
    assert np.allclose(squared_distances(ROWS, CODES), cdist(ROWS, CODES) ** 2, atol=1e-4)
    assert squared_distances(1000 * ROWS, 1000 * ROWS).min() >= 0


def test_the_nearest_code_is_the_same_in_small_blocks(monkeypatch):
    found = nearest_codes(ROWS, CODES)
    assert (found == cdist(ROWS, CODES).argmin(axis=1)).all()
    monkeypatch.setattr(assignment, "_CELLS", 21)
    assert [block.stop - block.start for block in blocks(50, 7)][:2] == [3, 3]
    assert (nearest_codes(ROWS, CODES) == found).all()
    assert nearest_codes(ROWS[:1], np.concatenate([CODES, CODES]))[0] < 7  # the lower of two equal ones


def test_blocks_of_whole_groups_cover_everything_and_split_none(monkeypatch):
    monkeypatch.setattr(assignment, "_CELLS", 40)
    groups = np.sort(RNG.integers(0, 12, size=60))
    groups[20:45] = groups[20]  # a group larger than a block
    found = list(whole_groups(groups, 4))
    assert np.concatenate([groups[block] for block in found]).tolist() == groups.tolist()
    assert all(groups[first.stop - 1] != groups[second.start] for first, second in pairwise(found))
    assert all(block.stop - block.start <= 10 or len(set(groups[block])) == 1 for block in found)
    assert not list(whole_groups(groups[:0], 4))


def test_unusable_vectors_are_refused():
    bad = ROWS.copy()
    bad[3, 1] = np.inf
    with pytest.raises(DataError, match="row 3 is not finite"):
        finite_matrix(bad)
    with pytest.raises(DataError, match="matrix of floats"):
        finite_matrix(np.ones((3, 2), dtype=int))
    with pytest.raises(DataError, match="vectors have 4 dimensions, the codebook 3"):
        finite_matrix(ROWS, 3)


def test_numbers_whose_squares_overflow_are_refused():
    large = np.ones((4, 2), np.float32)
    large[2, 1] = 1e20
    with pytest.raises(DataError, match=r"row 2 holds a number beyond 1e\+15 \(1 such rows\)"):
        finite_matrix(large)
