import numpy as np
import pytest
from scipy import sparse

from lexirec.core.errors import ArtifactError, DataError
from lexirec.data.sequences import Sequences
from lexirec.models.baselines.base import (
    answer_newcomers,
    binary_rows,
    history_rows,
    load_fitted,
    pack_matrix,
    popularity,
    save_fitted,
    unpack_matrix,
)
from lexirec.models.baselines.item_similarity import EaseSettings, ItemKnn, ItemKnnSettings

ROWS = Sequences.from_lists([[2, 0, 2], [], [1]])


def test_newer_items_weigh_more():
    assert history_rows(ROWS, 4, 0.5).toarray().tolist() == [[0.5, 0, 1.25, 0], [0, 0, 0, 0], [0, 1, 0, 0]]


def test_the_newest_item_weighs_one_whatever_came_before():
    rows = history_rows(Sequences.from_lists([[3, 1, 0], [0, 1, 3, 2]]), 4, 0.5).toarray()
    assert rows.tolist() == [[1, 0.5, 0, 0.25], [0.125, 0.25, 1, 0.5]]


def test_binary_rows_count_an_item_once():
    assert binary_rows(ROWS, 4).toarray().tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]]


@pytest.mark.parametrize("number", [-1, 4, 2**31 - 1])
def test_numbers_of_no_item_reach_no_sparse_product(number):
    histories = Sequences.from_lists([[0, number]])
    scorer = ItemKnn().fit(ROWS, 4)
    for use in (
        lambda: history_rows(histories, 4),
        lambda: binary_rows(histories, 4),
        lambda: scorer.scores(histories),
    ):
        with pytest.raises(DataError, match=f"history 0 holds item number {number}, but the catalog has 4 items"):
            use()
    with pytest.raises(
        DataError, match=f"train holds item numbers from {min(number, 0)} to {max(number, 0)}, but n_items is 4"
    ):
        ItemKnn().fit(histories, 4)


def test_popularity_is_a_share_also_of_nothing():
    assert popularity(ROWS, 4).tolist() == [0.25, 0.25, 0.5, 0]
    assert popularity(Sequences.from_lists([]), 2).tolist() == [0, 0]


def test_only_newcomers_get_popularity():
    scores = answer_newcomers(np.zeros((3, 2), np.float32), ROWS, np.array([0.75, 0.25], np.float32))
    assert scores.tolist() == [[0, 0], [0.75, 0.25], [0, 0]]


def test_settings_and_matrices_survive_the_disk(tmp_path):
    matrix = sparse.csr_array(np.array([[0, 1.5], [0, 0]], dtype=np.float32))
    save_fitted(tmp_path, ItemKnnSettings(neighbors=3), **pack_matrix("m", matrix))
    settings, arrays = load_fitted(tmp_path, ItemKnnSettings)
    assert settings == ItemKnnSettings(neighbors=3)
    assert (unpack_matrix("m", arrays) != matrix).nnz == 0


def test_a_folder_of_another_kind_is_refused(tmp_path):
    save_fitted(tmp_path, ItemKnnSettings(), a=np.zeros(1))
    with pytest.raises(ArtifactError, match="no saved EaseSettings"):
        load_fitted(tmp_path, EaseSettings)
    with pytest.raises(ArtifactError, match="no saved EaseSettings"):
        load_fitted(tmp_path / "absent", EaseSettings)


def test_rows_are_made_of_copies():
    histories = Sequences.from_lists([[3, 0, 3], [2, 1]])
    binary_rows(histories, 4)
    assert histories == Sequences.from_lists([[3, 0, 3], [2, 1]])


def test_a_scorer_whose_arrays_or_matrices_are_missing_is_refused(tmp_path):
    save_fitted(tmp_path, ItemKnnSettings(), a=np.zeros(1))
    with pytest.raises(ArtifactError, match="the array 'shares' is missing"):
        ItemKnn.load(tmp_path)
    save_fitted(tmp_path, ItemKnnSettings(), shares=np.zeros(1, np.float32))
    with pytest.raises(ArtifactError, match=r"the array 'similarities\.data' is missing"):
        ItemKnn.load(tmp_path)
