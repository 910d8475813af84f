import numpy as np
import pytest
import torch

from lexirec.core.errors import DataError
from lexirec.data.neighbors import Neighbors
from lexirec.nn.embedding_table import ItemRows, MixedRows, item_features

GIVEN = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def neighbors(rows: list[list[int]]) -> Neighbors:
    items = np.array(rows, dtype=np.int32)
    return Neighbors(items, np.where(items >= 0, 1.0, -np.inf).astype(np.float32))


def test_a_row_is_identity_plus_a_linear_map_of_features():
    rows = ItemRows(4, 5, GIVEN)
    assert rows.project is not None
    expected = rows.identity.weight + torch.from_numpy(GIVEN) @ rows.project.weight.T
    assert torch.allclose(rows(), expected, atol=1e-6)
    rows().sum().backward()
    assert all(weight.grad is not None for weight in rows.parameters())


def test_features_are_saved_but_not_learned():
    rows = ItemRows(4, 5, GIVEN)
    assert set(rows.state_dict()) == {"identity.weight", "project.weight", "features_IF"}
    assert {name for name, _ in rows.named_parameters()} == {"identity.weight", "project.weight"}


@pytest.mark.parametrize("nothing", [None, np.zeros((4, 0), dtype=np.float32)])
def test_without_features_a_row_is_its_identity(nothing):
    rows = ItemRows(4, 5, nothing)
    assert rows.project is None
    assert torch.equal(rows(), rows.identity.weight)


def test_features_are_vectors_and_the_mean_of_the_best_neighbours():
    found = item_features(GIVEN.astype(np.float64), neighbors([[1, 2, 3], [0, -1, -1], [-1, -1, -1], [2, 0, 1]]), 2)
    assert found is not None
    assert found.dtype == np.float32
    means = np.stack([(GIVEN[1] + GIVEN[2]) / 2, GIVEN[0], np.zeros(3), (GIVEN[2] + GIVEN[0]) / 2])
    assert np.allclose(found, np.concatenate([GIVEN, means], axis=1), atol=1e-6)


def test_what_is_missing_is_left_out():
    assert item_features(None, neighbors([[1], [0], [0], [0]]), 2) is None
    assert np.array_equal(item_features(GIVEN, None, 2), GIVEN)
    assert np.array_equal(item_features(GIVEN, neighbors([[1], [0], [0], [0]]), 0), GIVEN)


def test_vectors_and_neighbours_of_different_catalogues_are_refused():
    with pytest.raises(DataError, match=r"4 item vectors, but neighbours of 2 items; make both from one catalog"):
        item_features(GIVEN, neighbors([[1], [0]]), 1)


def test_rows_of_neighbours_are_mixed_in_by_their_scores():
    near = Neighbors(
        np.array([[1, 2], [0, -1], [-1, -1], [0, 1]], dtype=np.int32),
        np.array([[3.0, 1.0], [0.5, 0.0], [0.0, 0.0], [-1.0, 0.0]], dtype=np.float32),
    )
    rows = ItemRows(4, 5, GIVEN, MixedRows.of(near, 2))
    assert rows.mix is not None
    assert rows.project is not None
    with torch.no_grad():
        rows.mix.fill_(0.5)
    own = rows.identity.weight + torch.from_numpy(GIVEN) @ rows.project.weight.T
    expected = own + 0.5 * torch.stack([0.75 * own[1] + 0.25 * own[2], own[0], torch.zeros(5), torch.zeros(5)])
    assert torch.allclose(rows(), expected, atol=1e-6)
    rows()[0].sum().backward()  # what is learned of an item is learned of its neighbours
    assert bool((rows.identity.weight.grad[1] != 0).all())
    assert bool((rows.identity.weight.grad[3] == 0).all())


def test_nothing_is_mixed_in_where_nothing_is_asked_for():
    assert MixedRows.of(None, 3) is None
    assert MixedRows.of(neighbors([[1], [0], [0], [0]]), 0) is None
