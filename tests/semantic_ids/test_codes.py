import numpy as np
import pytest

from lexirec.core.errors import ArtifactError, DataError
from lexirec.semantic_ids.codes import Codes

VALUES = np.array([[1, 0, 5], [0, 0, 5], [1, 0, 2], [1, 3, 2], [0, 0, 5]])


def test_cells_of_trees_are_prefixes_and_of_residual_codes_values():
    tree, residual = Codes(VALUES), Codes(VALUES, "residual")
    assert tree.cells(0).tolist() == [1, 0, 1, 1, 0]
    assert tree.cells(1).tolist() == [1, 0, 1, 2, 0]
    assert tree.cells(2).tolist() == [2, 0, 1, 3, 0]
    assert residual.cells(1).tolist() == [0, 0, 0, 1, 0]
    assert residual.cells(2).tolist() == [1, 1, 0, 0, 1]
    assert residual.prefixes(2).tolist() == tree.cells(2).tolist()
    assert residual.counts(2).tolist() == [2, 3]
    assert tree.first_members(2).tolist() == [1, 2, 0, 3]


def test_cells_refine_each_other_in_order_with_large_values():
    rng = np.random.default_rng(0)
    codes = Codes(rng.integers(0, 2**31 - 1, (500, 5)).astype(np.int32) // np.array([2**30, 2**29, 2**28, 1, 1]))
    for level in range(1, 5):
        order = np.lexsort(codes.values[:, level::-1].T)
        assert (np.diff(codes.cells(level)[order]) >= 0).all()
        assert len(codes.counts(level)) == len(np.unique(codes.values[:, : level + 1], axis=0))


@pytest.mark.parametrize(
    ("values", "kind", "said"),
    [
        (np.zeros((0, 3), dtype=int), "tree", "at least one"),
        (np.zeros(4, dtype=int), "tree", "shape"),
        (np.zeros((2, 2)), "tree", "give integers"),
        (np.array([[0, 1], [2, -1]]), "tree", "item 1 has -1 at level 1"),
        (np.zeros((2, 2), dtype=int), "flat", "'residual'"),
    ],
)
def test_what_cannot_be_codes_is_refused(values, kind, said):
    with pytest.raises(DataError, match=said):
        Codes(values, kind)


def test_levels_that_are_not_there_are_refused():
    with pytest.raises(DataError, match="allowed: 0 to 2"):
        Codes(VALUES).cells(3)


@pytest.mark.parametrize("kind", ["tree", "residual"])
def test_saved_codes_come_back(tmp_path, kind):
    Codes(VALUES, kind).save(tmp_path)
    loaded = Codes.load(tmp_path)
    assert loaded.kind == kind
    assert loaded.values.dtype == np.int32
    assert (loaded.values == VALUES).all()


def test_missing_and_damaged_files_are_told_apart(tmp_path):
    with pytest.raises(ArtifactError, match="is missing"):
        Codes.load(tmp_path)
    (tmp_path / "codes.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(ArtifactError, match="damaged"):
        Codes.load(tmp_path)
